/**
 * When each process was last sampled, in seconds: what eviction goes by. Written by the thread that names stacks, read
 * by the one that makes tables. Processes whose pids are 65,536 apart share a mark, which keeps a table too long at
 * most.
 */
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace hotspan::unwind {

class UseMarks {
  public:
    void mark(int pid, uint64_t nowNs) {
        marks_[static_cast<uint16_t>(pid)].store(static_cast<uint32_t>(nowNs / 1'000'000'000),
                                                 std::memory_order_relaxed);
    }
    uint32_t lastSeconds(int pid) const { return marks_[static_cast<uint16_t>(pid)].load(std::memory_order_relaxed); }

  private:
    std::array<std::atomic<uint32_t>, 65536> marks_{};
};

} // namespace hotspan::unwind
