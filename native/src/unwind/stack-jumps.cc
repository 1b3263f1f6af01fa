/** Where switch statements jump to. */
#include "stack-follower.h"

#include <algorithm>
#include <cstring>

namespace hotspan::unwind {
namespace {

// How far before its jump a table is looked for, and how large it may be.
constexpr size_t maxTableSteps = 24;
constexpr int64_t maxTableEntries = 1024;

} // namespace

/** The instruction that was visited and ends where this one begins; `nowhere` where there is none. */
uint32_t StackFollower::before(uint32_t at) const {
    for (uint32_t back = 1; back <= maxInstructionBytes && back <= at; back++) {
        uint32_t number = nodeAt_[at - back];
        if (number != 0 && nodes_[number - 1].sizeBytes == back) {
            return at - back;
        }
    }
    return nowhere;
}

/** switch statements: a table of offsets from itself, or of addresses, whose size a comparison before the jump tells.
 */
StackFollower::JumpTable StackFollower::tableOf(uint32_t number, const Instruction &jump) const {
    JumpTable table;
    table.isAbsolute = !jump.isRegisterForm() && jump.base == noRegister && !jump.isRipRelative;
    table.address = table.isAbsolute ? static_cast<uint64_t>(jump.displacement) : 0;
    uint32_t at = before(nodes_[number].at);
    bool isBounded = false;
    for (size_t step = 0; step < maxTableSteps && at != nowhere && (table.address == 0 || table.count == 0); step++) {
        Instruction it = decodeInstruction(&code_[at], std::min(code_.size() - at, maxInstructionBytes));
        uint16_t op = it.opcode;
        bool isComparison =
            ((op == 0x80 || op == 0x81 || op == 0x83) && it.operation() == 7) || op == 0x3c || op == 0x3d;
        if (table.address == 0 && op == 0x8d && it.isRipRelative) {
            table.address = addressOf(at) + it.sizeBytes + static_cast<uint64_t>(it.displacement);
        } else if (table.address == 0 && op == 0x8b && it.base == noRegister && it.index != noRegister) {
            table.address = static_cast<uint64_t>(it.displacement);
            table.isAbsolute = true;
        } else if (op == 0x77 || op == 0x76 || op == 0x0f87 || op == 0x0f86) {
            isBounded = true;
        } else if (isBounded && table.count == 0 && isComparison) {
            table.count = it.immediate >= 0 && it.immediate < maxTableEntries ? it.immediate + 1 : 0;
            isBounded = table.count != 0;
        }
        at = before(at);
    }
    return table;
}

/** Places in code_, each once; empty where one of them leads out of the code. */
std::vector<uint32_t> StackFollower::targetsOf(const JumpTable &table) const {
    size_t entryBytes = table.isAbsolute ? sizeof(uint64_t) : sizeof(int32_t);
    std::vector<uint8_t> bytes(static_cast<size_t>(table.count) * entryBytes);
    std::vector<uint32_t> targets;
    if (table.address == 0 || table.count == 0 ||
        readData_(table.address, bytes.data(), bytes.size()) != bytes.size()) {
        return targets;
    }
    for (size_t at = 0; at < bytes.size(); at += entryBytes) {
        uint64_t target = 0;
        int32_t offset = 0;
        if (table.isAbsolute) {
            memcpy(&target, &bytes[at], sizeof target);
        } else {
            memcpy(&offset, &bytes[at], sizeof offset);
            target = table.address + static_cast<uint64_t>(int64_t{offset});
        }
        targets.push_back(placeOf(target));
    }
    std::sort(targets.begin(), targets.end());
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    if (!targets.empty() && targets.back() == nowhere) {
        targets.clear();
    }
    return targets;
}

bool StackFollower::followTable(uint32_t number, const Instruction &jump) {
    JumpTable table = tableOf(number, jump);
    visits_ += static_cast<size_t>(table.count);
    std::vector<uint32_t> targets = targetsOf(table);
    StackHeights heights = nodes_[number].heights;
    uint32_t function = nodes_[number].function;
    for (uint32_t target : targets) {
        tables_.push_back({number, target});
        reach(target, heights, function, false);
    }
    return !targets.empty();
}

} // namespace hotspan::unwind
