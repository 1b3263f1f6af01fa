/** From Go's depths of the stack to rows. */
#include "go-rows.h"

#include <algorithm>
#include <cstring>

#include "byte-cursor.h"
#include "code-scan.h"
#include "unwind-table.h"

namespace hotspan::unwind {
namespace {

// abi.FuncFlag in src/internal/abi/symtab.go, the same since 1.18.
constexpr uint8_t flagTopFrame = 1;
constexpr uint8_t flagWritesSp = 2;

// _func in src/runtime/runtime2.go: offsets of its fields; startLine came with 1.20.
constexpr size_t fieldName = 4;
constexpr size_t fieldDepths = 16;
constexpr size_t fieldFlagsOld = 37;
constexpr size_t fieldFlags = 41;
constexpr size_t recordBytes = 44;

constexpr size_t namePieceBytes = 4096;
// Most functions' steps take less than 16 bytes; generated ones have a few thousand of two to six bytes each.
constexpr size_t usualDepthsBytes = 256;
constexpr size_t maxDepthsBytes = 1 << 18;
// Functions that switch stacks are of assembly, and short.
constexpr size_t maxSwitchBytes = 2048;
// Go's own limit of a frame is 1 GB.
constexpr int32_t maxDepth = 1 << 30;
// ucontext.uc_mcontext in asm/ucontext.h, in units of 8 bytes: the kernel leaves rsp at the ucontext.
constexpr uint32_t signalRule = UNWIND_CFA_SIGNAL | 5U << 14;
constexpr uint32_t rbpAtCfa16 = UNWIND_BP_AT_CFA << 4 | (static_cast<uint32_t>(-2) & 0xff) << 6;
constexpr uint32_t otherStackRule = UNWIND_CFA_OTHER_BP | rbpAtCfa16 | 2U << 14;

constexpr uint8_t pushRbp = 0x55;
constexpr uint8_t setRbp[] = {0x48, 0x89, 0xe5};
// mov %rbp, DISP(%rsp) and lea DISP(%rsp), %rbp, with a displacement of 1 or of 4 bytes.
constexpr uint8_t saveRbp8[] = {0x48, 0x89, 0x6c, 0x24};
constexpr uint8_t saveRbp32[] = {0x48, 0x89, 0xac, 0x24};
constexpr uint8_t pointRbp8[] = {0x48, 0x8d, 0x6c, 0x24};
constexpr uint8_t pointRbp32[] = {0x48, 0x8d, 0xac, 0x24};
// The two longest, one after the other.
constexpr size_t prologueBytes = 16;

template <size_t N> bool startsWith(const uint8_t *bytes, const uint8_t (&pattern)[N]) {
    return memcmp(bytes, pattern, N) == 0;
}

/** Length of `mov %rbp, DISP(%rsp)` or of `lea`, with that displacement; 0 where it is another instruction. */
template <size_t N>
size_t lengthWithOffset(const uint8_t *bytes, const uint8_t (&short8)[N], const uint8_t (&long32)[N], int32_t offset) {
    if (startsWith(bytes, short8)) {
        return static_cast<int8_t>(bytes[N]) == offset ? N + 1 : 0;
    }
    int32_t displacement = 0;
    memcpy(&displacement, bytes + N, sizeof displacement);
    return startsWith(bytes, long32) && displacement == offset ? N + 4 : 0;
}

/** Length of an instruction that loads rsp from a register or from memory; 0 where it is another. */
size_t lengthOfSpLoad(const uint8_t *bytes) {
    bool isWide = bytes[0] == 0x48 || bytes[0] == 0x49;
    uint8_t mode = bytes[2] >> 6;
    uint8_t base = bytes[2] & 7;
    if ((bytes[0] == 0x48 || bytes[0] == 0x4c) && bytes[1] == 0x89 && mode == 3 && base == 4) {
        return 3;
    }
    if (!isWide || bytes[1] != 0x8b || (bytes[2] >> 3 & 7) != 4) {
        return 0;
    }
    static const size_t displacementBytes[] = {0, 1, 4, 0};
    return 3 + displacementBytes[mode] + (mode != 3 && base == 4 ? 1 : 0);
}

} // namespace

GoRows::GoRows(const symbols::ByteSource &source, const symbols::ElfFile &elf, const symbols::GoModule &module)
    : module_(module), elf_(elf),
      functions_(source, module.offset + module.header.functionOffset, module.sizeBytes - module.header.functionOffset),
      records_(source, module.offset + module.header.functionOffset, module.sizeBytes - module.header.functionOffset),
      depths_(source, module.offset + module.header.pcOffset, module.header.functionOffset - module.header.pcOffset),
      names_(source, module.offset + module.header.nameOffset, module.header.unitOffset - module.header.nameOffset,
             namePieceBytes),
      code_(source, 0, source.sizeBytes()) {}

std::optional<GoRows::Function> GoRows::functionAt(uint32_t record) {
    const uint8_t *bytes = records_.view(record, recordBytes);
    if (bytes == nullptr) {
        return std::nullopt;
    }
    Function function;
    uint32_t entry = 0;
    memcpy(&entry, bytes, sizeof entry);
    memcpy(&function.nameOffset, bytes + fieldName, sizeof function.nameOffset);
    memcpy(&function.depthsOffset, bytes + fieldDepths, sizeof function.depthsOffset);
    function.entry = module_.text + entry;
    function.flags = bytes[module_.header.hasStartLine ? fieldFlags : fieldFlagsOld];
    return function;
}

bool GoRows::isNamed(const Function &function, const char *name) {
    size_t length = strlen(name);
    const uint8_t *bytes = names_.view(function.nameOffset, length + 1);
    if (bytes == nullptr || memcmp(bytes, name, length) != 0) {
        return false;
    }
    // Assembly that was written for the older calling convention has it behind its name.
    return bytes[length] == '\0' || bytes[length] == '.';
}

void GoRows::collect(const CodeSegments &code, std::vector<CodeRange> &ranges) {
    for (uint32_t i = 0; i < module_.header.functionCount && ranges.size() < maxRanges; i++) {
        uint32_t entries[3];
        const uint8_t *bytes = functions_.view(uint64_t{8} * i, sizeof entries);
        if (bytes == nullptr) {
            return;
        }
        memcpy(entries, bytes, sizeof entries);
        uint64_t begin = module_.text + entries[0];
        uint32_t codeBytes = code.sizeFrom(begin);
        if (entries[2] <= entries[0] || entries[1] > maxRangeOffset || codeBytes == 0) {
            continue;
        }
        ranges.push_back({static_cast<uint32_t>(begin), std::min(entries[2] - entries[0], codeBytes),
                          rangePlace(RangeOwner::gopclntab, entries[1])});
    }
}

bool GoRows::readDepths(const Function &function, uint64_t end) {
    uint64_t available = depths_.sizeBytes() - std::min<uint64_t>(function.depthsOffset, depths_.sizeBytes());
    return readDepths(function, end, static_cast<size_t>(std::min<uint64_t>(available, usualDepthsBytes))) ||
           readDepths(function, end, static_cast<size_t>(std::min<uint64_t>(available, maxDepthsBytes)));
}

/** The table is of pairs: by how much the depth changes, zigzag-coded, and for how many bytes of code it then holds. */
bool GoRows::readDepths(const Function &function, uint64_t end, size_t sizeBytes) {
    steps_.clear();
    const uint8_t *bytes = depths_.view(function.depthsOffset, sizeBytes);
    if (bytes == nullptr) {
        return false;
    }
    ByteCursor cursor(bytes, bytes + sizeBytes);
    uint64_t at = function.entry;
    uint32_t depth = ~0U;
    while (at < end) {
        auto change = static_cast<uint32_t>(cursor.takeUleb());
        if (!cursor.isGood() || (change == 0 && !steps_.empty())) {
            break;
        }
        depth += (change & 1) != 0 ? ~(change >> 1) : change >> 1;
        at += cursor.takeUleb() & UINT32_MAX;
        steps_.push_back({at, static_cast<int32_t>(depth)});
    }
    return cursor.isGood() && !steps_.empty();
}

const uint8_t *GoRows::codeAt(uint64_t address, size_t sizeBytes) {
    std::optional<uint64_t> offset = elf_.fileOffsetOf(address);
    return offset ? code_.view(*offset, sizeBytes) : nullptr;
}

/**
 * Since 1.21: push %rbp; mov %rsp, %rbp; sub $N, %rsp. Before: sub $N, %rsp; mov %rbp, N-8(%rsp); lea N-8(%rsp), %rbp,
 * and so in assembly that takes over from C. Functions without either leave rbp alone.
 */
void GoRows::findPrologue(Places &places) {
    for (size_t i = 0; i + 1 < steps_.size(); i++) {
        int32_t depth = steps_[i + 1].bytes;
        if (steps_[i].bytes != 0 || depth < 8) {
            continue;
        }
        uint64_t at = steps_[i].end;
        const uint8_t *bytes = codeAt(at - 1, 1 + prologueBytes);
        if (bytes == nullptr) {
            return;
        }
        if (depth == 8 && bytes[0] == pushRbp) {
            places.isSavedFrom = at;
            places.isSetFrom = startsWith(bytes + 1, setRbp) ? at + sizeof setRbp : 0;
            return;
        }
        size_t length = lengthWithOffset(bytes + 1, saveRbp8, saveRbp32, depth - 8);
        if (length != 0) {
            places.isSavedFrom = at + length;
            size_t more = lengthWithOffset(bytes + 1 + length, pointRbp8, pointRbp32, depth - 8);
            places.isSetFrom = more != 0 ? at + length + more : 0;
        }
        return;
    }
}

void GoRows::findSwitch(const Function &function, uint64_t end, Places &places) {
    auto sizeBytes = static_cast<size_t>(std::min<uint64_t>(end - function.entry, maxSwitchBytes));
    const uint8_t *bytes = codeAt(function.entry, sizeBytes);
    for (size_t i = 0; bytes != nullptr && i + 8 <= sizeBytes; i++) {
        if (size_t length = lengthOfSpLoad(bytes + i)) {
            places.isSwitchedFrom = function.entry + i + length;
            return;
        }
    }
}

uint32_t GoRows::ruleAt(const Places &places, uint64_t address, int32_t depth, uint32_t switchedRule) const {
    if (places.isSwitchedFrom != 0 && address >= places.isSwitchedFrom && (depth > 0 || places.isSetFrom == 0)) {
        return switchedRule;
    }
    if (depth < 0 || depth >= maxDepth) {
        return UNWIND_CFA_UNKNOWN;
    }
    bool isSaved = places.isSavedFrom != 0 && address >= places.isSavedFrom && depth > 0;
    FrameState state;
    state.cfa = {ExpressionKind::address, static_cast<uint8_t>(dwarfRsp), int64_t{depth} + 8, 0};
    state.returnAddress = {SavedKind::atOffset, -8, {}};
    state.rbp = {isSaved ? SavedKind::atOffset : SavedKind::same, -16, {}};
    return ruleOf(state);
}

/** mov $15, %rax; syscall: rt_sigreturn. */
bool GoRows::isSignalReturn(uint64_t address) {
    static const uint8_t pattern[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    const uint8_t *bytes = codeAt(address, sizeof pattern);
    return bytes != nullptr && startsWith(bytes, pattern);
}

uint32_t GoRows::switchedRuleOf(const Function &function, const Places &places) {
    // What they call is the root of another stack. (The goroutine that was there is parked, mostly; where morestack
    // only makes its stack larger it goes on, but nothing on this stack leads to it.)
    if (isNamed(function, "runtime.mcall") || isNamed(function, "runtime.morestack") ||
        isNamed(function, "runtime.clone")) {
        return UNWIND_CFA_END;
    }
    // Before 1.21 the two had no frame of their own: rbp is their caller's, which is what is lost then.
    bool keepsRbp =
        places.isSetFrom != 0 || isNamed(function, "runtime.systemstack") || isNamed(function, "runtime.asmcgocall");
    return keepsRbp ? otherStackRule : uint32_t{UNWIND_CFA_UNKNOWN};
}

bool GoRows::stepRows(const Function &function, uint64_t end, RowSink &sink) {
    // C code that Go's linker put there has no depths.
    if (function.depthsOffset == 0) {
        sink.row(function.entry, UNWIND_CFA_NONE);
        auto sizeBytes = static_cast<size_t>(end - function.entry);
        const uint8_t *bytes = sizeBytes <= maxScannedBytes ? codeAt(function.entry, sizeBytes) : nullptr;
        if (bytes != nullptr) {
            scanCode(bytes, sizeBytes, function.entry, sink);
        }
        return true;
    }
    if (!readDepths(function, end)) {
        return false;
    }
    Places places;
    findPrologue(places);
    uint32_t switchedRule = UNWIND_CFA_UNKNOWN;
    if ((function.flags & flagWritesSp) != 0) {
        findSwitch(function, end, places);
        switchedRule = switchedRuleOf(function, places);
    }
    uint64_t at = function.entry;
    for (const Depth &step : steps_) {
        // A place within the step begins a row of its own.
        uint64_t stepEnd = std::min(step.end, end);
        auto [first, second] = std::minmax(places.isSavedFrom, places.isSwitchedFrom);
        for (uint64_t place : {at, first, second}) {
            if (place >= at && place < stepEnd) {
                sink.row(place, ruleAt(places, place, step.bytes, switchedRule));
            }
        }
        at = std::max(at, stepEnd);
    }
    return true;
}

bool GoRows::rowsOf(const CodeRange &range, uint64_t end, RowSink &sink) {
    std::optional<Function> function = functionAt(range.offset());
    if (!function || function->entry != range.begin) {
        return false;
    }
    bool isSound = true;
    if (isSignalReturn(range.begin)) {
        sink.row(range.begin, signalRule);
    } else if ((function->flags & flagTopFrame) != 0 && !isNamed(*function, "runtime.sigtramp")) {
        sink.row(range.begin, UNWIND_CFA_END);
    } else {
        isSound = stepRows(*function, end, sink);
    }
    // Signal handlers return to the first byte of that function, and return addresses are looked up one byte before.
    if (end == range.end() && end - 1 > range.begin && isSignalReturn(end)) {
        sink.row(end - 1, signalRule);
    }
    return isSound;
}

} // namespace hotspan::unwind
