/**
 * Walks on the copies of stacks that the programs made where they lacked a mapping or a table, once these are there.
 * What waits is bounded in bytes and in time. Not locked: the engine's lock guards it.
 */
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "process-lists.h"
#include "walk.h"

namespace hotspan::unwind {

struct StackCopy {
    int pid = 0;
    uint64_t timeNs = 0;
    unwind_resume registers{};
    /** The stack from registers.sp on. */
    std::vector<uint8_t> stack;
};

struct ResumedStack {
    std::vector<uint64_t> addresses;
    uint32_t end = UNWIND_END_NO_PROCESS;
};

struct ResumeTotals {
    uint64_t resumed = 0;
    /** Of these, those that reached the thread's root. */
    uint64_t completed = 0;
    /** Given back as they were: too many waited. */
    uint64_t refused = 0;
    size_t waiting = 0;
    size_t waitingBytes = 0;
};

class StackResumer {
  public:
    /** `want` asks for the table of a file. */
    StackResumer(BlockArena &arena, ProcessLists &lists, std::function<void(std::shared_ptr<CodeFile>)> want)
        : arena_(arena), lists_(lists), want_(std::move(want)) {}

    /** False where too much waits already. */
    bool add(StackCopy copy, std::function<void(ResumedStack)> done, uint64_t nowNs);
    /** Walks what can be walked. All events up to `horizonNs` are known. True where something still waits. */
    bool work(uint64_t nowNs, uint64_t horizonNs);
    ResumeTotals totals() const;

  private:
    struct Waiting {
        StackCopy copy;
        std::function<void(ResumedStack)> done;
        uint64_t deadlineNs = 0;
        bool wasRead = false;
    };
    /** Nothing where a table or a mapping may still come. */
    std::optional<ResumedStack> tryOne(Waiting &waiting, bool isLast);
    WalkResult walk(const StackCopy &copy, uint64_t list) const;
    bool wantTableAt(const MappingList &list, uint64_t address);

    BlockArena &arena_;
    ProcessLists &lists_;
    const std::function<void(std::shared_ptr<CodeFile>)> want_;
    std::deque<Waiting> waiting_;
    size_t waitingBytes_ = 0;
    ResumeTotals totals_;
};

} // namespace hotspan::unwind
