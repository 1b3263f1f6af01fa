/** What single instructions do to rsp and rbp. */
#include "stack-follower.h"

#include "unwind-table.h"

namespace hotspan::unwind {
namespace {

// Frames of more than this get no rule; a sum beyond it is taken for nonsense.
constexpr int32_t maxHeight = 64 << 20;

constexpr int32_t unknown = StackHeights::unknown;

int32_t moved(int32_t height, int64_t down) {
    if (height == unknown || down > maxHeight || down < -maxHeight) {
        return unknown;
    }
    int64_t sum = height + down;
    return sum < -maxHeight || sum > maxHeight ? unknown : static_cast<int32_t>(sum);
}

/** How far the operand in memory is from the CFA. */
int32_t heightOf(const Instruction &it, const StackHeights &heights) {
    bool isPlain = !it.isRegisterForm() && !it.isRipRelative && it.index == noRegister;
    if (!isPlain || (it.base != numberOfRsp && it.base != numberOfRbp)) {
        return unknown;
    }
    return moved(it.base == numberOfRsp ? heights.rsp : heights.rbp, -it.displacement);
}

void forgetRbp(StackHeights &heights) {
    heights.rbp = unknown;
    heights.isRbpKept = false;
}

/** rbp has what stood in the stack so far from the CFA. */
void loadRbp(StackHeights &heights, int32_t from) {
    heights.rbp = unknown;
    heights.isRbpKept = from != unknown && from == heights.savedRbp;
}

/** What lies below rsp is nobody's any more. */
void settle(StackHeights &heights) {
    if (heights.rsp != unknown && heights.savedRbp > heights.rsp) {
        heights.savedRbp = 0;
    }
}

void saveRbp(StackHeights &heights, int32_t to) {
    if (heights.isRbpKept && heights.savedRbp == 0 && to != unknown && to > 8) {
        heights.savedRbp = to;
    }
}

void push(const Instruction &it, StackHeights &heights) {
    heights.rsp = it.isShort ? unknown : moved(heights.rsp, 8);
    if (it.opcode == 0x50 + numberOfRbp && it.opcodeRegister() == numberOfRbp) {
        saveRbp(heights, heights.rsp);
    }
}

void pop(const Instruction &it, StackHeights &heights) {
    int32_t from = heights.rsp;
    heights.rsp = it.isShort ? unknown : moved(heights.rsp, -8);
    if (it.opcode >= 0x58 && it.opcode <= 0x5f) {
        if (it.opcodeRegister() == numberOfRbp) {
            loadRbp(heights, from);
        } else if (it.opcodeRegister() == numberOfRsp) {
            heights.rsp = unknown;
        }
    } else if (it.opcode == 0x8f && it.isRegisterForm()) {
        heights.rsp = unknown;
        forgetRbp(heights);
    }
    settle(heights);
}

void leave(StackHeights &heights) {
    int32_t frame = heights.rbp;
    heights.rsp = moved(frame, -8);
    loadRbp(heights, frame);
    settle(heights);
}

/** Gives the register the height, which may be unknown. */
void set(StackHeights &heights, uint8_t reg, int32_t height) {
    if (reg == numberOfRsp) {
        heights.rsp = height;
        settle(heights);
    } else {
        forgetRbp(heights);
        heights.rbp = height;
    }
}

bool isTracked(uint8_t reg) {
    return reg == numberOfRsp || reg == numberOfRbp;
}

int32_t heightOf(uint8_t reg, const StackHeights &heights) {
    return reg == numberOfRsp ? heights.rsp : reg == numberOfRbp ? heights.rbp : unknown;
}

/** mov, lea, add and sub that lead from one of the two registers to one of them. False for all else. */
bool calculate(const Instruction &it, StackHeights &heights) {
    if (!it.isWide() || it.isShort) {
        return false;
    }
    if (it.opcode == 0x8d && isTracked(it.reg())) {
        set(heights, it.reg(), heightOf(it, heights));
        return true;
    }
    bool isMove = (it.opcode == 0x89 || it.opcode == 0x8b) && it.isRegisterForm();
    if (isMove) {
        uint8_t to = it.opcode == 0x89 ? it.rm() : it.reg();
        uint8_t from = it.opcode == 0x89 ? it.reg() : it.rm();
        if (isTracked(to)) {
            set(heights, to, heightOf(from, heights));
        }
        return true;
    }
    bool isSum = (it.opcode == 0x81 || it.opcode == 0x83) && it.isRegisterForm() && isTracked(it.rm()) &&
                 (it.operation() == 0 || it.operation() == 5);
    if (isSum) {
        int64_t down = it.operation() == 5 ? it.immediate : -it.immediate;
        set(heights, it.rm(), moved(heightOf(it.rm(), heights), down));
        return true;
    }
    if (it.opcode == 0x89 && it.reg() == numberOfRbp) {
        saveRbp(heights, heightOf(it, heights));
        return true;
    }
    if (it.opcode == 0x8b && it.reg() == numberOfRbp) {
        loadRbp(heights, heightOf(it, heights));
        return true;
    }
    return false;
}

bool isPush(const Instruction &it) {
    uint16_t op = it.opcode;
    return (op >= 0x50 && op <= 0x57) || op == 0x68 || op == 0x6a || op == 0x9c || op == 0x0fa0 || op == 0x0fa8 ||
           (op == 0xff && it.operation() == 6);
}

bool isPop(const Instruction &it) {
    uint16_t op = it.opcode;
    return (op >= 0x58 && op <= 0x5f) || op == 0x8f || op == 0x9d || op == 0x0fa1 || op == 0x0fa9;
}

} // namespace

StackHeights heightsAfter(const Instruction &instruction, const StackHeights &before) {
    StackHeights heights = before;
    if (!instruction.isVector && isPush(instruction)) {
        push(instruction, heights);
    } else if (!instruction.isVector && isPop(instruction)) {
        pop(instruction, heights);
    } else if (!instruction.isVector && instruction.opcode == 0xc9) {
        leave(heights);
    } else if (!instruction.isVector && instruction.opcode == 0xc8) {
        heights.rsp = unknown;
        forgetRbp(heights);
    } else if (instruction.isVector || !calculate(instruction, heights)) {
        uint32_t written = writtenRegisters(instruction);
        if ((written >> numberOfRsp & 1) != 0) {
            heights.rsp = unknown;
        }
        if ((written >> numberOfRbp & 1) != 0) {
            forgetRbp(heights);
        }
    }
    return heights;
}

uint32_t ruleOf(const StackHeights &heights) {
    bool isByRsp = heights.rsp != unknown;
    int32_t height = isByRsp ? heights.rsp : heights.rbp;
    if (height == unknown || height < 8 || height % 8 != 0) {
        return UNWIND_CFA_NONE;
    }
    FrameState state;
    state.cfa = {ExpressionKind::address, static_cast<uint8_t>(isByRsp ? dwarfRsp : dwarfRbp), height, 0};
    state.returnAddress = {SavedKind::atOffset, -8, {}};
    if (heights.savedRbp > 0) {
        state.rbp = {SavedKind::atOffset, -int64_t{heights.savedRbp}, {}};
    } else if (!heights.isRbpKept) {
        state.rbp = {SavedKind::undefined, 0, {}};
    }
    uint32_t rule = ruleOf(state);
    return unwind_rule_cfa(rule) == UNWIND_CFA_UNKNOWN ? uint32_t{UNWIND_CFA_NONE} : rule;
}

} // namespace hotspan::unwind
