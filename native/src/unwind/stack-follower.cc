/** Following of code from function to function, and the judgement of what came of it. */
#include "stack-follower.h"

#include <algorithm>
#include <cstring>

#include "unwind-table.h"

namespace hotspan::unwind {
namespace {

// Linkers and compilers pad functions and loops to 16 bytes; a row for each such gap would double the table.
constexpr uint64_t maxPaddingBytes = 15;
// Passes over the code that judging may take. One is enough where no way leads back.
constexpr int maxJudgements = 64;
// Compilers' instructions are 4 bytes long, on average.
constexpr size_t minMeanBytes = 2;
// What is known of an instruction can become less four times; nearly all are gone through once.
constexpr size_t maxVisitsPerByte = 4;
constexpr int32_t entryHeight = 8;

bool isConditional(uint16_t op) {
    return (op >= 0x70 && op <= 0x7f) || (op >= 0x0f80 && op <= 0x0f8f) || (op >= 0xe0 && op <= 0xe3);
}

bool isReturn(uint16_t op) {
    return op == 0xc3 || op == 0xc2;
}

/** Nothing comes behind it, and it leads nowhere: traps, hlt, far returns. */
bool isEnd(const Instruction &it) {
    uint16_t op = it.opcode;
    return op == 0xcc || op == 0xf4 || op == 0x0f0b || op == 0x0fb9 || op == 0x0fff || op == 0xca || op == 0xcb ||
           op == 0xcf || op == 0x0f07 || op == 0x0f35 || (op == 0xff && (it.operation() == 3 || it.operation() == 5));
}

/** Only knowledge that both have is left. True where `into` has less than before. */
bool meet(StackHeights &into, const StackHeights &other) {
    StackHeights before = into;
    if (into.rsp != other.rsp) {
        into.rsp = StackHeights::unknown;
    }
    if (into.rbp != other.rbp) {
        into.rbp = StackHeights::unknown;
    }
    // Not 0, for it could be saved again then, and so on and on.
    if (into.savedRbp != other.savedRbp) {
        into.savedRbp = -1;
    }
    into.isRbpKept = into.isRbpKept && other.isRbpKept;
    return into != before;
}

} // namespace

bool StackFollower::addCode(uint32_t begin, std::vector<uint8_t> bytes) {
    if (bytes.empty() || code_.size() + bytes.size() > maxCodeBytes_) {
        return bytes.empty();
    }
    regions_.push_back({begin, static_cast<uint32_t>(bytes.size()), static_cast<uint32_t>(code_.size())});
    code_.insert(code_.end(), bytes.begin(), bytes.end());
    // A byte that is nobody's: what leads out of a region does not lead into the next.
    code_.push_back(0);
    nodeAt_.resize(code_.size());
    return true;
}

uint32_t StackFollower::placeOf(uint64_t address) const {
    auto next = std::upper_bound(regions_.begin(), regions_.end(), address,
                                 [](uint64_t wanted, const Region &region) { return wanted < region.begin; });
    if (next == regions_.begin()) {
        return nowhere;
    }
    const Region &region = *std::prev(next);
    uint64_t offset = address - region.begin;
    return offset < region.sizeBytes ? region.at + static_cast<uint32_t>(offset) : nowhere;
}

const StackFollower::Region &StackFollower::regionAt(uint32_t at) const {
    auto next = std::upper_bound(regions_.begin(), regions_.end(), at,
                                 [](uint32_t wanted, const Region &region) { return wanted < region.at; });
    return *std::prev(next);
}

uint64_t StackFollower::addressOf(uint32_t at) const {
    const Region &region = regionAt(at);
    return region.begin + (at - region.at);
}

void StackFollower::push(uint32_t node) {
    if ((nodes_[node].marks & queued) == 0) {
        nodes_[node].marks |= queued;
        work_.push_back(node);
    }
}

/** Gives the function's number. */
uint32_t StackFollower::enterFunction(uint32_t at) {
    if (nodeAt_[at] != 0 && (nodes_[nodeAt_[at] - 1].marks & pinned) != 0) {
        return nodes_[nodeAt_[at] - 1].function;
    }
    if (nodeAt_[at] == 0) {
        if (nodes_.size() > maxCodeBytes_ / minMeanBytes) {
            isComplete_ = false;
            return nowhere;
        }
        nodes_.emplace_back();
        nodeAt_[at] = static_cast<uint32_t>(nodes_.size());
    }
    uint32_t number = nodeAt_[at] - 1;
    Node &node = nodes_[number];
    node.at = at;
    node.heights = {};
    node.function = static_cast<uint32_t>(functions_.size());
    node.marks |= pinned;
    functions_.emplace_back();
    push(number);
    return node.function;
}

void StackFollower::setReturns(uint32_t function) {
    if (!functions_[function].returns) {
        functions_[function].returns = true;
        returned_.push_back(function);
    }
}

/** A call's node goes on, or a function returns as well, when the function returns. */
void StackFollower::waitFor(uint32_t function, uint32_t waiter, bool isCall) {
    if (function == nowhere || functions_[function].returns) {
        if (isCall) {
            released_.push_back(waiter);
        } else {
            setReturns(waiter);
        }
        return;
    }
    waiters_.push_back({waiter, functions_[function].firstWaiter, isCall});
    functions_[function].firstWaiter = static_cast<uint32_t>(waiters_.size()) - 1;
}

void StackFollower::addFunction(uint64_t address) {
    uint32_t at = placeOf(address);
    if (at != nowhere) {
        enterFunction(at);
    }
}

void StackFollower::addCandidate(uint64_t address) {
    if (placeOf(address) != nowhere && candidates_.size() < code_.size()) {
        candidates_.push_back(address);
    }
}

/** A way leads to a place. What follows a call is believed least: the call may never return. */
void StackFollower::reach(uint32_t at, const StackHeights &heights, uint32_t function, bool isByCall) {
    if (nodeAt_[at] == 0) {
        if (nodes_.size() > maxCodeBytes_ / minMeanBytes) {
            isComplete_ = false;
            return;
        }
        nodes_.emplace_back();
        nodeAt_[at] = static_cast<uint32_t>(nodes_.size());
        Node &node = nodes_.back();
        node.at = at;
        node.heights = heights;
        node.function = function;
        push(nodeAt_[at] - 1);
        return;
    }
    uint32_t number = nodeAt_[at] - 1;
    Node &node = nodes_[number];
    bool isOther = node.heights.rsp != heights.rsp && heights.rsp != StackHeights::unknown;
    if (isOther && ((node.marks & pinned) != 0 || (isByCall && node.heights.rsp != StackHeights::unknown))) {
        return;
    }
    if (node.function != function) {
        waitFor(node.function, function, false);
    }
    if ((node.marks & pinned) == 0 && meet(node.heights, heights)) {
        push(number);
    }
}

void StackFollower::noteAddress(const Instruction &instruction, uint64_t next) {
    uint16_t op = instruction.opcode;
    if (op == 0x8d && instruction.isRipRelative) {
        addCandidate(next + static_cast<uint64_t>(instruction.displacement));
    } else if (((op >= 0xb8 && op <= 0xbf) || op == 0xc7 || op == 0x68) && isFixed_) {
        addCandidate(static_cast<uint64_t>(instruction.immediate));
    }
}

/** To code that is not followed: a tail call, where the stack is as at entry. */
void StackFollower::leaveBy(uint32_t number) {
    Node &node = nodes_[number];
    setReturns(node.function);
    if (node.heights.rsp == entryHeight) {
        node.marks |= good;
    }
}

void StackFollower::jumpTo(uint32_t number, uint64_t address) {
    uint32_t target = placeOf(address);
    if (target == nowhere) {
        leaveBy(number);
        return;
    }
    nodes_[number].target = target;
    StackHeights heights = nodes_[number].heights;
    uint32_t function = nodes_[number].function;
    reach(target, heights, function, false);
    // The beginning of another function.
    if (nodes_[nodeAt_[target] - 1].function != function && heights.rsp == entryHeight) {
        nodes_[number].marks |= good;
    }
}

void StackFollower::visitCall(uint32_t number, const Instruction &instruction, uint64_t next) {
    uint32_t after = placeOf(next);
    uint32_t callee = nowhere;
    if (instruction.opcode == 0xe8) {
        uint32_t target = placeOf(next + static_cast<uint64_t>(instruction.immediate));
        // To the next instruction: what asks where it stands. Nothing returns from there.
        if (target == after && target != nowhere) {
            return;
        }
        if (target != nowhere) {
            callee = enterFunction(target);
        }
    }
    if (after != nowhere) {
        waitFor(callee, number, true);
    }
}

void StackFollower::visitIndirectJump(uint32_t number, const Instruction &instruction) {
    if (nodes_[number].heights.rsp == entryHeight && instruction.isRipRelative) {
        leaveBy(number);
    } else if (!followTable(number, instruction)) {
        leaveBy(number);
    }
}

void StackFollower::visit(uint32_t number) {
    Node &node = nodes_[number];
    node.marks &= static_cast<uint8_t>(~(queued | leaves | fallsOn | good | bad));
    const Region &region = regionAt(node.at);
    size_t left = region.at + region.sizeBytes - node.at;
    Instruction instruction = decodeInstruction(&code_[node.at], std::min(left, maxInstructionBytes));
    if (instruction.sizeBytes == 0) {
        node.marks |= bad;
        return;
    }
    node.sizeBytes = static_cast<uint8_t>(instruction.sizeBytes);
    uint64_t next = region.begin + (node.at - region.at) + instruction.sizeBytes;
    uint16_t op = instruction.opcode;
    if (instruction.isVector) {
        op = 0xffff;
    }
    if (isReturn(op)) {
        int32_t rsp = node.heights.rsp;
        if (rsp != StackHeights::unknown) {
            node.marks |= rsp == entryHeight ? good : bad;
        }
        setReturns(node.function);
        return;
    }
    if (op == 0xe8 || (op == 0xff && instruction.operation() == 2)) {
        visitCall(number, instruction, next);
        return;
    }
    if (op == 0xeb || op == 0xe9) {
        jumpTo(number, next + static_cast<uint64_t>(instruction.immediate));
        return;
    }
    if (op == 0xff && instruction.operation() == 4) {
        visitIndirectJump(number, instruction);
        return;
    }
    if (op != 0xffff && isEnd(instruction)) {
        return;
    }
    noteAddress(instruction, next);
    StackHeights after = heightsAfter(instruction, node.heights);
    if (after.rsp != StackHeights::unknown && after.rsp < entryHeight) {
        node.marks |= bad;
        return;
    }
    uint32_t function = node.function;
    node.marks |= fallsOn;
    // It may move the nodes.
    if (isConditional(op)) {
        jumpTo(number, next + static_cast<uint64_t>(instruction.immediate));
    }
    uint32_t place = placeOf(next);
    if (place != nowhere) {
        reach(place, after, function, false);
    }
}

/** Goes on behind the calls of a function that is known to return by now. */
void StackFollower::release(uint32_t function) {
    for (uint32_t at = functions_[function].firstWaiter; at != nowhere; at = waiters_[at].next) {
        if (waiters_[at].isCall) {
            released_.push_back(waiters_[at].waiter);
        } else {
            setReturns(waiters_[at].waiter);
        }
    }
}

void StackFollower::goOnBehind(uint32_t number) {
    Node &node = nodes_[number];
    node.marks |= fallsOn;
    StackHeights heights = node.heights;
    uint32_t place = node.at + node.sizeBytes;
    if (place < nodeAt_.size()) {
        reach(place, heights, node.function, true);
    }
}

/** The surest ways first: what follows a call comes after all else, and what may be a function last. False at the end.
 */
bool StackFollower::step() {
    auto take = [](std::vector<uint32_t> &from) {
        uint32_t last = from.back();
        from.pop_back();
        return last;
    };
    if (!work_.empty()) {
        visit(take(work_));
    } else if (!returned_.empty()) {
        release(take(returned_));
    } else if (!released_.empty()) {
        goOnBehind(take(released_));
    } else if (nextCandidate_ < candidates_.size()) {
        uint32_t at = placeOf(candidates_[nextCandidate_++]);
        if (nodeAt_[at] == 0 && enterFunction(at) != nowhere) {
            nodes_[nodeAt_[at] - 1].marks &= static_cast<uint8_t>(~pinned);
        }
    } else {
        return false;
    }
    return true;
}

void StackFollower::follow() {
    while (isComplete_ && step()) {
        isComplete_ = visits_++ < maxVisitsPerByte * code_.size();
    }
}

void StackFollower::judge() {
    constexpr uint8_t verdicts = good | bad;
    bool isChanged = true;
    for (int i = 0; i < maxJudgements && isChanged; i++) {
        isChanged = false;
        for (size_t at = nodeAt_.size(); at-- > 0;) {
            if (nodeAt_[at] == 0) {
                continue;
            }
            Node &node = nodes_[nodeAt_[at] - 1];
            uint8_t found = 0;
            size_t next = at + node.sizeBytes;
            if ((node.marks & fallsOn) != 0 && next < nodeAt_.size() && nodeAt_[next] != 0) {
                found |= nodes_[nodeAt_[next] - 1].marks;
            }
            if (node.target != nowhere) {
                const Node &target = nodes_[nodeAt_[node.target] - 1];
                found |= target.function == node.function ? target.marks : uint8_t{0};
            }
            isChanged = isChanged || (found & verdicts & ~node.marks) != 0;
            node.marks |= found & verdicts;
        }
        for (const Way &table : tables_) {
            uint8_t found = nodes_[nodeAt_[table.target] - 1].marks & verdicts;
            isChanged = isChanged || (found & ~nodes_[table.node].marks) != 0;
            nodes_[table.node].marks |= found;
        }
    }
    isComplete_ = !isChanged;
}

bool StackFollower::isSound(const Node &node) const {
    return isComplete_ && node.sizeBytes > 0 && ((node.marks & good) != 0 || (node.marks & bad) == 0);
}

bool StackFollower::isVisited(uint64_t address) const {
    uint32_t at = placeOf(address);
    return at != nowhere && nodeAt_[at] != 0;
}

const StackHeights *StackFollower::heightsAt(uint64_t address) const {
    uint32_t at = placeOf(address);
    if (at == nowhere || nodeAt_[at] == 0) {
        return nullptr;
    }
    const Node &node = nodes_[nodeAt_[at] - 1];
    return isSound(node) && ruleOf(node.heights) != UNWIND_CFA_NONE ? &node.heights : nullptr;
}

size_t StackFollower::visitedBytes() const {
    size_t bytes = 0;
    for (const Node &node : nodes_) {
        bytes += isSound(node) ? node.sizeBytes : size_t{0};
    }
    return bytes;
}

std::pair<uint64_t, uint64_t> StackFollower::extentIn(uint64_t begin, uint64_t end) const {
    uint64_t first = end;
    uint64_t last = begin;
    uint32_t at = placeOf(begin);
    for (uint64_t address = begin; at != nowhere && address < end && at < nodeAt_.size(); address++, at++) {
        if (nodeAt_[at] != 0 && isSound(nodes_[nodeAt_[at] - 1])) {
            first = std::min(first, address);
            last = address + nodes_[nodeAt_[at] - 1].sizeBytes;
        }
    }
    return first < end ? std::pair{first, std::min(last, end)} : std::pair{end, end};
}

/** Whether what begins there is no instruction that anyone runs: nops, int3. */
bool StackFollower::isPadding(uint32_t at) const {
    Instruction it = decodeInstruction(&code_[at], std::min(code_.size() - at, maxInstructionBytes));
    return it.sizeBytes > 0 && (it.opcode == 0x90 || it.opcode == 0x0f1f || it.opcode == 0xcc);
}

void StackFollower::rowsOf(uint64_t begin, uint64_t end, RowSink &sink) const {
    sink.row(begin, UNWIND_CFA_NONE);
    uint64_t coveredEnd = begin;
    uint32_t at = placeOf(begin);
    for (uint64_t address = begin; at != nowhere && address < end; address++, at++) {
        if (at >= nodeAt_.size() || nodeAt_[at] == 0) {
            continue;
        }
        const Node &node = nodes_[nodeAt_[at] - 1];
        uint64_t hole = address > coveredEnd ? address - coveredEnd : 0;
        if (hole > maxPaddingBytes || (hole > 0 && !isPadding(at - static_cast<uint32_t>(hole)))) {
            sink.row(coveredEnd, UNWIND_CFA_NONE);
        }
        sink.row(address, isSound(node) ? ruleOf(node.heights) : uint32_t{UNWIND_CFA_NONE});
        coveredEnd = address + node.sizeBytes;
    }
    if (coveredEnd < end) {
        sink.row(coveredEnd, UNWIND_CFA_NONE);
    }
}

} // namespace hotspan::unwind
