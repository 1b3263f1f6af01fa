// One CPU's perf buffer: opened, mapped, and read record by record. Knows of a record only that it starts with its
// time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "fd.h"

namespace hotspan {

class PerfRing {
  public:
    PerfRing() = default;
    ~PerfRing();
    PerfRing(const PerfRing &) = delete;
    PerfRing &operator=(const PerfRing &) = delete;

    // Opens a buffer of `pages` (a power of two) for BPF output on `cpu`. Returns 0 or a negative errno.
    int Open(int cpu, size_t pages);

    int fd() const { return fd_.get(); }
    int cpu() const { return cpu_; }
    size_t mapped_bytes() const { return mapped_bytes_; }

    // Takes notice of what the kernel has written until now; Next and Pop go no further.
    void ReadHead();
    // Whether there is a record; if so time_ns(), size_bytes() and Copy tell of the first. Counts what the kernel says
    // was lost.
    bool Next();
    uint64_t time_ns() const { return time_ns_; }
    uint32_t size_bytes() const { return size_bytes_; }
    void Copy(uint8_t *to) const;
    // Steps over the record; its room is the kernel's again after Release.
    void Pop();
    void Release();

    // Records that the kernel could not write, so far. Also counts those after the last record where the kernel can
    // tell (6.0).
    uint64_t Lost() const;

  private:
    void CopyOut(uint64_t position, void *to, size_t size_bytes) const;

    Fd fd_;
    int cpu_ = 0;
    bool has_lost_count_ = false;
    uint8_t *mapping_ = nullptr; // one page of control, then the data
    size_t mapped_bytes_ = 0;
    uint8_t *data_ = nullptr;
    uint64_t mask_ = 0;
    uint64_t head_ = 0, tail_ = 0;
    std::atomic<uint64_t> lost_records_ = 0; // counted by the reader's thread, read by any
    // The record at tail_.
    uint64_t record_bytes_ = 0; // with perf's header
    uint64_t time_ns_ = 0;
    uint32_t size_bytes_ = 0;
};

} // namespace hotspan
