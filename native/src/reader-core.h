// The thread that drains all perf buffers on a timer, or when one of them fills up, merges them by time and hands over
// one batch at a time. No JS here.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fd.h"
#include "perf-ring.h"
#include "thread.h"

namespace hotspan {

struct ReaderOptions {
    unsigned interval_ms = 10;
    size_t max_records = 0;
    size_t max_bytes = 0;
};

// Room for one batch, allocated once. Record i is data[offsets[i]], 8-byte aligned, lengths[i] bytes, from sources[i].
struct Batch {
    Batch(const ReaderOptions &options);

    std::unique_ptr<uint8_t[]> data;
    std::unique_ptr<uint8_t[]> index; // offsets, lengths and sources one behind the other
    uint32_t *offsets, *lengths;
    uint16_t *sources;
    size_t index_bytes;
    size_t count = 0;
    size_t used_bytes = 0;
};

struct SourceStats {
    uint64_t received = 0, received_bytes = 0, late = 0, batches = 0, buffer_bytes = 0;
    std::vector<uint64_t> lost_by_cpu;
};

// One source's buffers: written by its programs through `map_fd`.
struct ReaderSource {
    uint16_t number = 0;
    Fd map_fd; // the JS thread's; closed when the source is removed
    std::vector<std::unique_ptr<PerfRing>> rings;
    SourceStats stats;   // guarded by the reader's lock
    SourceStats pending; // counted by the reader's thread since it last had the lock
    uint64_t last_batch = 0;

    void CountPending();
};

// What goes to the JS thread: a batch (0 or 1; -1: none), then the requests that are done.
struct Delivery {
    int batch = -1;
    std::vector<uint32_t> done;
};

class ReaderCore {
  public:
    // `post` hands a delivery to the JS thread in order; false when that has ended. It is called on the reader's
    // thread.
    ReaderCore(const ReaderOptions &options, std::function<bool(std::unique_ptr<Delivery>)> post);
    ~ReaderCore();

    // Starts the thread. Returns 0 or a negative errno.
    int Start();

    // The following are called on the JS thread.
    int Add(uint16_t source, int map_fd, size_t pages, std::string &detail);
    // The source that was added last under this number, also after its removal.
    std::shared_ptr<ReaderSource> Find(uint16_t source);
    // Programs can write no more to the source's buffers from now on; they are drained, then closed, then `request` is
    // done. False where the source is null or removed already.
    bool Remove(const std::shared_ptr<ReaderSource> &source, uint32_t request);
    void Flush(uint32_t request);
    bool Stats(uint16_t source, SourceStats &stats);
    void BatchDone();
    // Ends the thread and closes all buffers.
    void Stop();

    Batch &batch(int index) { return *batches_[index]; }
    const ReaderOptions &options() const { return options_; }

  private:
    struct Request {
        uint32_t id;
        uint64_t time_ns;                     // when it was made
        std::shared_ptr<ReaderSource> source; // to remove; empty for a flush
    };
    // A buffer with its first record's time, in the heap of the merge.
    struct HeapItem {
        uint64_t time_ns;
        PerfRing *ring;
        ReaderSource *source;
    };

    void Run();
    void WaitForWork(std::unique_lock<std::mutex> &lock);
    bool Sleep(uint64_t until_ns);
    void Wake();
    uint64_t IntervalNs() const;
    std::vector<Request> TakeDue(uint64_t cutoff_ns);
    void Finish(std::vector<Request> due);
    bool Drain(uint64_t cutoff_ns);
    void FillHeap(uint64_t now_ns);
    void SiftDown(size_t index);
    bool Append(const HeapItem &item);
    bool Publish();
    void CloseRings(ReaderSource &source);

    const ReaderOptions options_;
    const std::function<bool(std::unique_ptr<Delivery>)> post_;
    std::unique_ptr<Batch> batches_[2];

    Fd epoll_; // all buffers, and wake_fd_
    Fd wake_fd_;
    std::mutex mutex_;
    std::condition_variable batch_done_;
    // Guarded by mutex_.
    bool is_stopping_ = false;
    bool is_in_flight_ = false;
    std::vector<Request> requests_;
    std::map<uint16_t, std::shared_ptr<ReaderSource>> sources_; // by number; also removed ones, for their last counts
    std::vector<std::shared_ptr<ReaderSource>> active_;         // being drained

    // The reader thread's own.
    std::vector<std::shared_ptr<ReaderSource>> round_;
    std::vector<HeapItem> heap_;
    int filling_ = 0;
    uint64_t batch_number_ = 1;
    uint64_t last_time_ns_ = 0;
    uint64_t horizon_ns_ = 0;
    unsigned empty_rounds_ = 0; // since the last record

    Thread thread_;
};

} // namespace hotspan
