/** Going on with copied stacks. */
#include "stack-resumer.h"

#include <algorithm>
#include <utility>

#include "../symbols/clock.h"
#include "walk.h"

namespace hotspan::unwind {
namespace {

// 400 copies of the full size; most are smaller.
constexpr size_t maxWaitingBytes = 6U << 20;
// A table of a large file takes 100 ms, and others may be before it.
constexpr uint64_t maxWaitNs = 3 * symbols::nsPerS;

size_t bytesOf(const StackCopy &copy) {
    return sizeof copy + copy.stack.size();
}

/** An address in the code that could not be left: a return address may be the first byte of the next function. */
uint64_t codeAddressOf(const StackCopy &copy, const WalkResult &walked) {
    bool isLeaf = walked.ip == copy.registers.ip && copy.registers.is_leaf != 0;
    return walked.ip - (isLeaf ? 0 : 1);
}

} // namespace

WalkResult StackResumer::walk(const StackCopy &copy, uint64_t list) const {
    const unwind_resume &from = copy.registers;
    CopiedMemory memory(from.sp, copy.stack);
    std::vector<const uint8_t *> blocks = arena_.bases();
    const uint64_t *registers = from.is_leaf != 0 ? reinterpret_cast<const uint64_t *>(from.registers) : nullptr;
    return walkUser({from.ip, from.sp, from.bp, registers, from.is_leaf != 0}, memory, {blocks, list});
}

bool StackResumer::add(StackCopy copy, std::function<void(ResumedStack)> done, uint64_t nowNs) {
    if (waitingBytes_ + bytesOf(copy) > maxWaitingBytes) {
        totals_.refused++;
        return false;
    }
    waitingBytes_ += bytesOf(copy);
    waiting_.push_back({std::move(copy), std::move(done), nowNs + maxWaitNs, false});
    return true;
}

bool StackResumer::wantTableAt(const MappingList &list, uint64_t address) {
    const CodeRange *range = list.find(address);
    if (range == nullptr || !range->file) {
        return false;
    }
    const CodeFile &file = *range->file;
    bool isComing = !file.isRead || (file.table && file.table->state == PlacedTable::State::pending);
    bool hasNoRoom = file.table && file.table->state == PlacedTable::State::noRoom;
    if (isComing || hasNoRoom) {
        want_(range->file);
    }
    return isComing || file.isQueued;
}

std::optional<ResumedStack> StackResumer::tryOne(Waiting &waiting, bool isLast) {
    const StackCopy &copy = waiting.copy;
    std::shared_ptr<MappingList> list = lists_.listAt(copy.pid, copy.timeNs);
    // Events that were lost, or a mapping that was moved: once it is looked up.
    auto readAgain = [&] {
        bool wasRead = std::exchange(waiting.wasRead, true);
        return !wasRead && lists_.read(copy.pid);
    };
    if (!list && readAgain()) {
        list = lists_.listAt(copy.pid, copy.timeNs);
    }
    if (!list) {
        return ResumedStack{{}, UNWIND_END_NO_PROCESS};
    }
    for (;;) {
        // A list of the past may never have been seen by the programs, or refer to tables that went.
        if ((list->isDirty() || list->word() == 0) && !lists_.publishFor(*list)) {
            return ResumedStack{{}, UNWIND_END_NO_ROOM};
        }
        WalkResult walked = walk(copy, list->word());
        bool mayCome = false;
        if (walked.end == UNWIND_END_NO_TABLE || walked.end == UNWIND_END_NO_ROOM) {
            mayCome = wantTableAt(*list, codeAddressOf(copy, walked));
        } else if (walked.end == UNWIND_END_NO_MAPPING && readAgain()) {
            list = lists_.listAt(copy.pid, copy.timeNs);
            continue;
        }
        if (mayCome && !isLast) {
            return std::nullopt;
        }
        // What was read first can be read: it is the copy that ends, after 16 KiB or because the stack goes on
        // elsewhere.
        if (walked.end == UNWIND_END_UNREADABLE && !copy.stack.empty()) {
            walked.end = UNWIND_END_SHORT_COPY;
        }
        // The programs have told the first.
        size_t known = walked.addresses.empty() ? 0 : 1;
        return ResumedStack{{walked.addresses.begin() + static_cast<ptrdiff_t>(known), walked.addresses.end()},
                            walked.end};
    }
}

bool StackResumer::work(uint64_t nowNs, uint64_t horizonNs) {
    for (size_t left = waiting_.size(); left > 0; left--) {
        Waiting waiting = std::move(waiting_.front());
        waiting_.pop_front();
        bool isLast = nowNs >= waiting.deadlineNs;
        std::optional<ResumedStack> resumed;
        if (waiting.copy.timeNs <= horizonNs || isLast) {
            resumed = tryOne(waiting, isLast);
        }
        if (!resumed) {
            waiting_.push_back(std::move(waiting));
            continue;
        }
        waitingBytes_ -= bytesOf(waiting.copy);
        totals_.resumed++;
        totals_.completed += resumed->end == UNWIND_END_ROOT ? 1 : 0;
        waiting.done(std::move(*resumed));
    }
    return !waiting_.empty();
}

ResumeTotals StackResumer::totals() const {
    ResumeTotals totals = totals_;
    totals.waiting = waiting_.size();
    totals.waitingBytes = waitingBytes_;
    return totals;
}

} // namespace hotspan::unwind
