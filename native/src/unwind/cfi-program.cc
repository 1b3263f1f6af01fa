/** Running of call frame instructions. */
#include "cfi-program.h"

#include <optional>

#include <type_traits>

#include "unwind-table.h"

namespace hotspan::unwind {
namespace {

// DWARF 5, section 7.24, and binutils' include/dwarf2.def for GNU's own. The first three have an operand in bits 0-5.
constexpr uint8_t cfaAdvanceLoc = 0x40;
constexpr uint8_t cfaOffset = 0x80;
constexpr uint8_t cfaRestore = 0xc0;
constexpr uint8_t cfaNop = 0x00;
constexpr uint8_t cfaSetLoc = 0x01;
constexpr uint8_t cfaAdvanceLoc1 = 0x02;
constexpr uint8_t cfaAdvanceLoc2 = 0x03;
constexpr uint8_t cfaAdvanceLoc4 = 0x04;
constexpr uint8_t cfaOffsetExtended = 0x05;
constexpr uint8_t cfaRestoreExtended = 0x06;
constexpr uint8_t cfaUndefined = 0x07;
constexpr uint8_t cfaSameValue = 0x08;
constexpr uint8_t cfaRegister = 0x09;
constexpr uint8_t cfaRememberState = 0x0a;
constexpr uint8_t cfaRestoreState = 0x0b;
constexpr uint8_t cfaDefCfa = 0x0c;
constexpr uint8_t cfaDefCfaRegister = 0x0d;
constexpr uint8_t cfaDefCfaOffset = 0x0e;
constexpr uint8_t cfaDefCfaExpression = 0x0f;
constexpr uint8_t cfaExpression = 0x10;
constexpr uint8_t cfaOffsetExtendedSf = 0x11;
constexpr uint8_t cfaDefCfaSf = 0x12;
constexpr uint8_t cfaDefCfaOffsetSf = 0x13;
constexpr uint8_t cfaValOffset = 0x14;
constexpr uint8_t cfaValOffsetSf = 0x15;
constexpr uint8_t cfaValExpression = 0x16;
constexpr uint8_t cfaMipsAdvanceLoc8 = 0x1d;
constexpr uint8_t cfaGnuWindowSave = 0x2d;
constexpr uint8_t cfaGnuArgsSize = 0x2e;
constexpr uint8_t cfaGnuNegativeOffsetExtended = 0x2f;

// Compilers nest remember_state two deep at most.
constexpr size_t maxRemembered = 16;

static_assert(std::is_trivially_copyable_v<FrameState>);

class Machine {
  public:
    Machine(const CfiContext &context, ByteCursor instructions, uint64_t begin, uint64_t end, RowSink *sink)
        : context_(context), cursor_(instructions), at_(begin), end_(end), sink_(sink), state_(context.initial) {}

    bool run();
    const FrameState &state() const { return state_; }

  private:
    bool step(uint8_t op);
    bool stepRare(uint8_t op);
    bool stepRegister(uint8_t op);
    void advance(uint64_t delta);
    void moveTo(uint64_t address);
    void emit();
    void save(uint64_t reg, SavedRegister saved);
    void saveAt(uint64_t reg, SavedKind kind, int64_t offset) { save(reg, {kind, offset, {}}); }
    void restore(uint64_t reg);
    Expression &changePlainCfa();
    Expression takeExpression();
    int64_t scaled(uint64_t factor) const {
        return static_cast<int64_t>(factor * static_cast<uint64_t>(context_.dataAlignment));
    }
    SavedRegister *find(FrameState &state, uint64_t reg);

    const CfiContext &context_;
    ByteCursor cursor_;
    uint64_t at_;
    uint64_t end_;
    RowSink *sink_;
    FrameState state_;
    // Left as it is at the start: clearing it would cost more than most functions' instructions.
    alignas(FrameState) unsigned char remembered_[maxRemembered][sizeof(FrameState)];
    size_t rememberedCount_ = 0;
    bool isChanged_ = true;
    bool isPastEnd_ = false;
};

SavedRegister *Machine::find(FrameState &state, uint64_t reg) {
    switch (reg) {
    case dwarfRbp:
        return &state.rbp;
    case dwarfRsp:
        return &state.rsp;
    case dwarfRip:
        return &state.returnAddress;
    default:
        return nullptr;
    }
}

void Machine::save(uint64_t reg, SavedRegister saved) {
    if (SavedRegister *slot = find(state_, reg)) {
        *slot = saved;
        isChanged_ = true;
    }
}

void Machine::restore(uint64_t reg) {
    FrameState initial = context_.initial;
    if (SavedRegister *slot = find(initial, reg)) {
        save(reg, *slot);
    }
}

/** Register or offset alone can be changed only where both stand for themselves (DWARF 5, 6.4.2.2). */
Expression &Machine::changePlainCfa() {
    if (state_.cfa.kind != ExpressionKind::address) {
        state_.cfa = {};
    }
    return state_.cfa;
}

Expression Machine::takeExpression() {
    uint64_t sizeBytes = cursor_.takeUleb();
    const uint8_t *begin = cursor_.at();
    cursor_.skip(sizeBytes);
    return cursor_.isGood() ? parseExpression(begin, static_cast<size_t>(sizeBytes)) : Expression{};
}

void Machine::emit() {
    if (sink_ != nullptr && isChanged_) {
        sink_->row(at_, ruleOf(state_));
        isChanged_ = false;
    }
}

void Machine::moveTo(uint64_t address) {
    if (address <= at_) {
        return;
    }
    emit();
    at_ = address;
    isPastEnd_ = address >= end_;
}

void Machine::advance(uint64_t delta) {
    uint64_t bytes = delta * context_.codeAlignment;
    moveTo(bytes > end_ - at_ ? end_ : at_ + bytes);
}

bool Machine::step(uint8_t op) {
    uint8_t operand = op & 0x3f;
    switch (op & 0xc0) {
    case cfaAdvanceLoc:
        advance(operand);
        return true;
    case cfaOffset:
        saveAt(operand, SavedKind::atOffset, scaled(cursor_.takeUleb()));
        return true;
    case cfaRestore:
        restore(operand);
        return true;
    default:
        break;
    }
    switch (op) {
    case cfaNop:
        return true;
    case cfaAdvanceLoc1:
        advance(cursor_.take<uint8_t>());
        return true;
    case cfaAdvanceLoc2:
        advance(cursor_.take<uint16_t>());
        return true;
    case cfaAdvanceLoc4:
        advance(cursor_.take<uint32_t>());
        return true;
    case cfaDefCfa: {
        uint64_t reg = cursor_.takeUleb();
        auto offset = static_cast<int64_t>(cursor_.takeUleb());
        state_.cfa = {ExpressionKind::address, static_cast<uint8_t>(reg < 255 ? reg : 255), offset, 0};
        break;
    }
    case cfaDefCfaRegister: {
        uint64_t reg = cursor_.takeUleb();
        changePlainCfa().reg = static_cast<uint8_t>(reg < 255 ? reg : 255);
        break;
    }
    case cfaDefCfaOffset:
        changePlainCfa().offset = static_cast<int64_t>(cursor_.takeUleb());
        break;
    case cfaRememberState:
        if (rememberedCount_ == maxRemembered) {
            return false;
        }
        memcpy(remembered_[rememberedCount_++], &state_, sizeof state_);
        return true;
    case cfaRestoreState:
        if (rememberedCount_ == 0) {
            return false;
        }
        memcpy(&state_, remembered_[--rememberedCount_], sizeof state_);
        break;
    default:
        return stepRare(op);
    }
    isChanged_ = true;
    return true;
}

bool Machine::stepRare(uint8_t op) {
    isChanged_ = true;
    switch (op) {
    case cfaSetLoc:
        // Absolute pointers alone: assemblers write advance_loc.
        if ((context_.pointerEncoding & 0x7f) != 0) {
            return false;
        }
        moveTo(cursor_.take<uint64_t>());
        return true;
    case cfaMipsAdvanceLoc8:
        advance(cursor_.take<uint64_t>());
        return true;
    case cfaGnuWindowSave:
        return true;
    case cfaGnuArgsSize:
        cursor_.takeUleb();
        return true;
    case cfaDefCfaSf: {
        uint64_t reg = cursor_.takeUleb();
        state_.cfa = {ExpressionKind::address, static_cast<uint8_t>(reg < 255 ? reg : 255),
                      scaled(static_cast<uint64_t>(cursor_.takeSleb())), 0};
        return true;
    }
    case cfaDefCfaOffsetSf:
        changePlainCfa().offset = scaled(static_cast<uint64_t>(cursor_.takeSleb()));
        return true;
    case cfaDefCfaExpression:
        state_.cfa = takeExpression();
        return true;
    default:
        return stepRegister(op);
    }
}

/** Instructions whose first operand is the register that they are about. */
bool Machine::stepRegister(uint8_t op) {
    uint64_t reg = cursor_.takeUleb();
    switch (op) {
    case cfaOffsetExtended:
        saveAt(reg, SavedKind::atOffset, scaled(cursor_.takeUleb()));
        return true;
    case cfaRestoreExtended:
        restore(reg);
        return true;
    case cfaUndefined:
        saveAt(reg, SavedKind::undefined, 0);
        return true;
    case cfaSameValue:
        saveAt(reg, SavedKind::same, 0);
        return true;
    case cfaRegister:
        saveAt(reg, SavedKind::inRegister, static_cast<int64_t>(cursor_.takeUleb()));
        return true;
    case cfaExpression:
        save(reg, {SavedKind::atExpression, 0, takeExpression()});
        return true;
    case cfaOffsetExtendedSf:
        saveAt(reg, SavedKind::atOffset, scaled(static_cast<uint64_t>(cursor_.takeSleb())));
        return true;
    case cfaValOffset:
        saveAt(reg, SavedKind::isOffset, scaled(cursor_.takeUleb()));
        return true;
    case cfaValOffsetSf:
        saveAt(reg, SavedKind::isOffset, scaled(static_cast<uint64_t>(cursor_.takeSleb())));
        return true;
    case cfaValExpression:
        save(reg, {SavedKind::isExpression, 0, takeExpression()});
        return true;
    case cfaGnuNegativeOffsetExtended:
        saveAt(reg, SavedKind::atOffset, -scaled(cursor_.takeUleb()));
        return true;
    default:
        return false;
    }
}

bool Machine::run() {
    bool isSound = true;
    while (isSound && !isPastEnd_ && !cursor_.isAtEnd()) {
        isSound = step(cursor_.take<uint8_t>()) && cursor_.isGood();
    }
    if (isPastEnd_) {
        return true;
    }
    if (!isSound) {
        state_ = FrameState{};
        isChanged_ = true;
    }
    emit();
    return isSound;
}

bool fits(int64_t value, int bits) {
    return value >= -(int64_t{1} << (bits - 1)) && value < int64_t{1} << (bits - 1);
}

/** Bits 0-3 and 14-31. */
uint32_t cfaBits(const Expression &cfa) {
    if (cfa.kind == ExpressionKind::plt) {
        return UNWIND_CFA_PLT | static_cast<uint32_t>(cfa.offset) << 14;
    }
    int64_t units = cfa.offset / 8;
    bool isRsp = cfa.reg == dwarfRsp;
    bool isRbp = cfa.reg == dwarfRbp;
    if (cfa.offset % 8 != 0 || cfa.kind == ExpressionKind::unsupported || !fits(units, 18)) {
        return UNWIND_CFA_UNKNOWN;
    }
    auto offsetBits = static_cast<uint32_t>(units) << 14;
    if (cfa.kind == ExpressionKind::address) {
        if (isRsp || isRbp) {
            return (isRsp ? UNWIND_CFA_SP : UNWIND_CFA_BP) | offsetBits;
        }
        if (cfa.reg > 15 || !fits(units, 14)) {
            return UNWIND_CFA_UNKNOWN;
        }
        return UNWIND_CFA_REGISTER | uint32_t{cfa.reg} << 14 | static_cast<uint32_t>(units) << 18;
    }
    if ((!isRsp && !isRbp) || (cfa.addend != 0 && cfa.addend != 8)) {
        return UNWIND_CFA_UNKNOWN;
    }
    if (cfa.addend == 8) {
        return (isRsp ? UNWIND_CFA_DEREF_SP8 : UNWIND_CFA_DEREF_BP8) | offsetBits;
    }
    return (isRsp ? UNWIND_CFA_DEREF_SP : UNWIND_CFA_DEREF_BP) | offsetBits;
}

/** Bits 4-13. */
uint32_t rbpBits(const SavedRegister &rbp) {
    auto at = [](uint32_t kind, int64_t offset) {
        return offset % 8 == 0 && fits(offset / 8, 8) ? kind << 4 | (static_cast<uint32_t>(offset / 8) & 0xff) << 6
                                                      : uint32_t{UNWIND_BP_UNKNOWN} << 4;
    };
    const Expression &expression = rbp.expression;
    bool isFromRbp = expression.kind == ExpressionKind::address && expression.reg == dwarfRbp;
    switch (rbp.kind) {
    case SavedKind::unspecified:
    case SavedKind::same:
        return uint32_t{UNWIND_BP_SAME} << 4;
    case SavedKind::atOffset:
        return at(UNWIND_BP_AT_CFA, rbp.offset);
    case SavedKind::atExpression:
        return isFromRbp ? at(UNWIND_BP_AT_BP, expression.offset) : uint32_t{UNWIND_BP_UNKNOWN} << 4;
    case SavedKind::isExpression:
        return (isFromRbp && expression.offset == 0 ? uint32_t{UNWIND_BP_SAME} : uint32_t{UNWIND_BP_UNKNOWN}) << 4;
    default:
        return uint32_t{UNWIND_BP_UNKNOWN} << 4;
    }
}

/** A frame too large for the usual form: nothing where it does not fit into the far one either. */
std::optional<uint32_t> farRule(const Expression &cfa, uint32_t rbp) {
    int64_t units = cfa.offset / 8;
    uint32_t kind = unwind_rule_bp(rbp);
    int64_t slot = -2 - unwind_rule_bp_offset(rbp) / 8;
    bool isSaved = kind == UNWIND_BP_AT_CFA && slot >= 0 && slot < 16;
    if (cfa.kind != ExpressionKind::address || cfa.reg != dwarfRsp || cfa.offset % 8 != 0 || units <= 0 ||
        units >= 1 << 22 || (kind != UNWIND_BP_SAME && !isSaved)) {
        return std::nullopt;
    }
    return UNWIND_CFA_FAR_SP | kind << 4 | static_cast<uint32_t>(isSaved ? slot : 0) << 6 |
           static_cast<uint32_t>(units) << 10;
}

/** The return address is in a register, as a leaf may keep it. */
bool isLeafInRegister(const FrameState &state) {
    const Expression &cfa = state.cfa;
    return state.returnAddress.kind == SavedKind::inRegister && state.returnAddress.offset >= 0 &&
           state.returnAddress.offset < 16 && cfa.kind == ExpressionKind::address && cfa.reg == dwarfRsp &&
           cfa.offset >= 0 && cfa.offset % 8 == 0 && fits(cfa.offset / 8, 14);
}

// sigcontext in asm/sigcontext.h, from r8 on: where rbp, rsp and rip stand in it.
constexpr int64_t gregsRbp = 80;
constexpr int64_t gregsRsp = 120;
constexpr int64_t gregsRip = 128;

/** A frame whose registers all stand in the ucontext that the kernel laid on the stack; the offset of its gregs. */
bool isSignalFrame(const FrameState &state, int64_t &gregs) {
    auto isAt = [&](const SavedRegister &saved, int64_t offset) {
        return saved.kind == SavedKind::atExpression && saved.expression.kind == ExpressionKind::address &&
               saved.expression.reg == dwarfRsp && saved.expression.offset == offset;
    };
    if (state.cfa.kind != ExpressionKind::dereference || state.cfa.reg != dwarfRsp || state.cfa.addend != 0) {
        return false;
    }
    gregs = state.cfa.offset - gregsRsp;
    return gregs % 8 == 0 && fits(gregs / 8, 18) && isAt(state.rbp, gregs + gregsRbp) &&
           isAt(state.returnAddress, gregs + gregsRip);
}

} // namespace

uint32_t ruleOf(const FrameState &state) {
    const SavedRegister &ra = state.returnAddress;
    if (ra.kind == SavedKind::undefined) {
        return UNWIND_CFA_END;
    }
    int64_t gregs = 0;
    if (isSignalFrame(state, gregs)) {
        return UNWIND_CFA_SIGNAL | static_cast<uint32_t>(gregs / 8) << 14;
    }
    const SavedRegister &rsp = state.rsp;
    bool isRspCfa = rsp.kind == SavedKind::unspecified || (rsp.kind == SavedKind::isOffset && rsp.offset == 0);
    if (isLeafInRegister(state) && isRspCfa) {
        return UNWIND_CFA_LEAF_SP | rbpBits(state.rbp) | static_cast<uint32_t>(ra.offset) << 14 |
               static_cast<uint32_t>(state.cfa.offset / 8) << 18;
    }
    if (ra.kind != SavedKind::atOffset || ra.offset != -8 || !isRspCfa) {
        return UNWIND_CFA_UNKNOWN;
    }
    uint32_t cfa = cfaBits(state.cfa);
    uint32_t rbp = rbpBits(state.rbp);
    return cfa == UNWIND_CFA_UNKNOWN ? farRule(state.cfa, rbp).value_or(cfa) : cfa | rbp;
}

bool runInitialInstructions(CfiContext &context, ByteCursor instructions) {
    Machine machine(context, instructions, 0, 1, nullptr);
    bool isSound = machine.run();
    context.initial = machine.state();
    return isSound;
}

bool runInstructions(const CfiContext &context, ByteCursor instructions, uint64_t begin, uint64_t end, RowSink &sink) {
    return Machine(context, instructions, begin, end, &sink).run();
}

} // namespace hotspan::unwind
