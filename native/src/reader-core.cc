// Drains and merges perf buffers; see reader-core.h.
#include "reader-core.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "cpus.h"

namespace hotspan {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock; // CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns

// A record is in its buffer this long after its program took its time, or it is late. Programs run for microseconds; an
// interrupt in between adds some more. 2 ms also bounds how long a record waits for one of another CPU.
static constexpr uint64_t settle_ns = 2'000'000;
// A record further ahead of the clock than this has no time of this clock; it is delivered rather than waited for.
static constexpr uint64_t nonsense_ns = 1'000'000'000;
// On a quiet host most of the reader's cost is its waking up: after so many rounds without a record it looks more and
// more seldom, up to an eighth as often. A person sees no delay of a tenth of a second, and what comes fast wakes it.
static constexpr unsigned empty_rounds_until_slow = 8;
static constexpr unsigned slowest = 3;

static uint64_t NowNs() {
    return static_cast<uint64_t>(nanoseconds(Clock::now().time_since_epoch()).count());
}

Batch::Batch(const ReaderOptions &options)
    : data(new uint8_t[options.max_bytes]()),
      index_bytes(options.max_records * (2 * sizeof(uint32_t) + sizeof(uint16_t))) {
    index.reset(new uint8_t[index_bytes]());
    offsets = reinterpret_cast<uint32_t *>(index.get());
    lengths = offsets + options.max_records;
    sources = reinterpret_cast<uint16_t *>(lengths + options.max_records);
}

void ReaderSource::CountPending() {
    stats.received += pending.received;
    stats.received_bytes += pending.received_bytes;
    stats.late += pending.late;
    stats.batches += pending.batches;
    pending = SourceStats();
}

ReaderCore::ReaderCore(const ReaderOptions &options, std::function<bool(std::unique_ptr<Delivery>)> post)
    : options_(options), post_(std::move(post)) {
    for (auto &batch : batches_)
        batch = std::make_unique<Batch>(options_);
}

int ReaderCore::Start() {
    epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
    wake_fd_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event{EPOLLIN, {.fd = wake_fd_.get()}};
    if (!epoll_ || !wake_fd_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_fd_.get(), &event))
        return -errno;
    return -thread_.Start("hotspan-reader", [this] { Run(); });
}

ReaderCore::~ReaderCore() {
    Stop();
}

int ReaderCore::Add(uint16_t number, int map_fd, size_t pages, std::string &detail) {
    auto source = std::make_shared<ReaderSource>();
    source->number = number;
    source->map_fd = Fd(fcntl(map_fd, F_DUPFD_CLOEXEC, 0));
    if (!source->map_fd)
        return -errno;
    for (int cpu : OnlineCpus()) {
        auto ring = std::make_unique<PerfRing>();
        int error = ring->Open(cpu, pages);
        // ENODEV: the CPU went offline after it was listed.
        if (error == -ENODEV)
            continue;
        if (!error) {
            int fd = ring->fd();
            error = bpf_map_update_elem(source->map_fd.get(), &cpu, &fd, BPF_ANY);
            epoll_event event{EPOLLIN | EPOLLET, {.fd = fd}};
            if (!error && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event))
                error = -errno;
        }
        if (error) {
            detail = "perf buffer of CPU " + std::to_string(cpu) + " with " + std::to_string(pages) + " pages";
            CloseRings(*source);
            return error;
        }
        source->stats.buffer_bytes += ring->mapped_bytes();
        source->stats.lost_by_cpu.resize(
            std::max<size_t>(source->stats.lost_by_cpu.size(), static_cast<size_t>(cpu) + 1));
        source->rings.push_back(std::move(ring));
    }
    std::lock_guard lock(mutex_);
    sources_[number] = source;
    active_.push_back(std::move(source));
    Wake();
    return 0;
}

std::shared_ptr<ReaderSource> ReaderCore::Find(uint16_t number) {
    std::lock_guard lock(mutex_);
    auto found = sources_.find(number);
    return found == sources_.end() ? nullptr : found->second;
}

// Takes the buffers away from the programs: what they want to write from now on is refused, and they count it
// themselves.
static void Disconnect(ReaderSource &source) {
    for (const auto &ring : source.rings) {
        int cpu = ring->cpu();
        bpf_map_delete_elem(source.map_fd.get(), &cpu);
    }
    source.map_fd = Fd();
}

bool ReaderCore::Remove(const std::shared_ptr<ReaderSource> &source, uint32_t request) {
    std::lock_guard lock(mutex_);
    if (!source || !source->map_fd || is_stopping_)
        return false;
    Disconnect(*source);
    requests_.push_back({request, NowNs(), source});
    Wake();
    return true;
}

void ReaderCore::Flush(uint32_t request) {
    std::lock_guard lock(mutex_);
    requests_.push_back({request, NowNs(), nullptr});
    Wake();
}

bool ReaderCore::Stats(uint16_t number, SourceStats &stats) {
    std::lock_guard lock(mutex_);
    auto found = sources_.find(number);
    if (found == sources_.end())
        return false;
    stats = found->second->stats;
    for (const auto &ring : found->second->rings)
        stats.lost_by_cpu[static_cast<size_t>(ring->cpu())] = ring->Lost();
    return true;
}

void ReaderCore::BatchDone() {
    std::lock_guard lock(mutex_);
    is_in_flight_ = false;
    batch_done_.notify_all();
}

void ReaderCore::Stop() {
    {
        std::lock_guard lock(mutex_);
        is_stopping_ = true;
        batch_done_.notify_all();
        Wake();
    }
    thread_.Join();
    for (const auto &source : active_) {
        if (source->map_fd)
            Disconnect(*source);
        CloseRings(*source);
    }
    active_.clear();
    requests_.clear();
    // The object may live on until it is collected as garbage.
    wake_fd_ = Fd();
    epoll_ = Fd();
}

void ReaderCore::CloseRings(ReaderSource &source) {
    for (const auto &ring : source.rings) {
        source.stats.lost_by_cpu[static_cast<size_t>(ring->cpu())] = ring->Lost();
        // A map may keep the buffer a moment longer than we do.
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, ring->fd(), nullptr);
    }
    source.rings.clear();
    source.stats.buffer_bytes = 0;
}

void ReaderCore::Run() {
    std::unique_lock lock(mutex_);
    while (true) {
        WaitForWork(lock);
        if (is_stopping_)
            return;
        uint64_t cutoff_ns = NowNs() - settle_ns;
        std::vector<Request> due = TakeDue(cutoff_ns);
        round_ = active_;
        lock.unlock();
        bool is_open = Drain(cutoff_ns);
        lock.lock();
        if (!is_open)
            return;
        Finish(std::move(due));
    }
}

// To be called with what it is about in place: the thread sees it when it wakes.
void ReaderCore::Wake() {
    eventfd_write(wake_fd_.get(), 1);
}

// Until the time, or until woken. True where a buffer fills up.
bool ReaderCore::Sleep(uint64_t until_ns) {
    uint64_t left_ns = until_ns - std::min(until_ns, NowNs());
    // Rounded up, or the last part of a millisecond would be spent in a loop.
    int timeout_ms = until_ns == UINT64_MAX ? -1 : static_cast<int>((left_ns + 999'999) / 1'000'000);
    epoll_event events[16];
    int count = epoll_wait(epoll_.get(), events, 16, timeout_ms);
    bool is_filling = false;
    for (int i = 0; i < count; i++) {
        eventfd_t value;
        if (events[i].data.fd == wake_fd_.get())
            eventfd_read(wake_fd_.get(), &value);
        else
            is_filling = true;
    }
    return is_filling;
}

uint64_t ReaderCore::IntervalNs() const {
    unsigned shift = empty_rounds_ < empty_rounds_until_slow ? 0 : empty_rounds_ - empty_rounds_until_slow + 1;
    return (uint64_t{options_.interval_ms} * 1'000'000) << std::min(shift, slowest);
}

// Until the next tick, until a buffer fills up, or until the oldest request has settled. Without buffers there is no
// tick.
void ReaderCore::WaitForWork(std::unique_lock<std::mutex> &lock) {
    uint64_t tick_ns = NowNs() + IntervalNs();
    bool is_filling = false;
    while (!is_stopping_ && !is_filling) {
        uint64_t until_ns = active_.empty() ? UINT64_MAX : tick_ns;
        if (!requests_.empty())
            until_ns = std::min(until_ns, requests_.front().time_ns + settle_ns);
        if (until_ns <= NowNs())
            return;
        lock.unlock();
        is_filling = Sleep(until_ns);
        lock.lock();
        // The first buffers after a time without any: the tick counts from now on.
        if (until_ns == UINT64_MAX)
            tick_ns = NowNs() + IntervalNs();
    }
}

// Requests made before the cutoff: everything written before them is delivered by a round with that cutoff.
std::vector<ReaderCore::Request> ReaderCore::TakeDue(uint64_t cutoff_ns) {
    auto later = std::find_if(requests_.begin(), requests_.end(),
                              [&](const Request &request) { return request.time_ns > cutoff_ns; });
    std::vector<Request> due(std::make_move_iterator(requests_.begin()), std::make_move_iterator(later));
    requests_.erase(requests_.begin(), later);
    return due;
}

// Called with the lock held, after the round that the requests were due in.
void ReaderCore::Finish(std::vector<Request> due) {
    if (due.empty())
        return;
    auto delivery = std::make_unique<Delivery>();
    for (const Request &request : due) {
        if (request.source) {
            CloseRings(*request.source);
            std::erase(active_, request.source);
        }
        delivery->done.push_back(request.id);
    }
    round_.clear();
    post_(std::move(delivery));
}

void ReaderCore::FillHeap(uint64_t now_ns) {
    horizon_ns_ = now_ns + nonsense_ns;
    heap_.clear();
    for (const auto &source : round_) {
        for (const auto &ring : source->rings)
            ring->ReadHead();
    }
    for (const auto &source : round_) {
        for (const auto &ring : source->rings) {
            if (ring->Next())
                heap_.push_back({ring->time_ns() > horizon_ns_ ? 0 : ring->time_ns(), ring.get(), source.get()});
        }
    }
    for (size_t i = heap_.size() / 2; i-- > 0;)
        SiftDown(i);
}

void ReaderCore::SiftDown(size_t index) {
    HeapItem item = heap_[index];
    while (true) {
        size_t child = 2 * index + 1;
        if (child >= heap_.size())
            break;
        if (child + 1 < heap_.size() && heap_[child + 1].time_ns < heap_[child].time_ns)
            child++;
        if (heap_[child].time_ns >= item.time_ns)
            break;
        heap_[index] = heap_[child];
        index = child;
    }
    heap_[index] = item;
}

// One round: all records up to the cutoff, in order of time. False when the reader is to end.
bool ReaderCore::Drain(uint64_t cutoff_ns) {
    FillHeap(cutoff_ns + settle_ns);
    empty_rounds_ = heap_.empty() ? empty_rounds_ + 1 : 0;
    while (!heap_.empty() && heap_[0].time_ns <= cutoff_ns) {
        HeapItem &top = heap_[0];
        if (!Append(top))
            return false;
        top.ring->Pop();
        if (top.ring->Next()) {
            top.time_ns = top.ring->time_ns() > horizon_ns_ ? 0 : top.ring->time_ns();
        } else {
            top = heap_.back();
            heap_.pop_back();
        }
        if (!heap_.empty())
            SiftDown(0);
    }
    return Publish();
}

// Copies the buffer's first record into the batch, after handing over a full one. False when the reader is to end.
bool ReaderCore::Append(const HeapItem &item) {
    uint32_t size = item.ring->size_bytes();
    size_t room = (size + size_t{7}) & ~size_t{7};
    Batch *batch = batches_[filling_].get();
    if (batch->count == options_.max_records || batch->used_bytes + room > options_.max_bytes) {
        if (!Publish())
            return false;
        batch = batches_[filling_].get();
    }
    item.ring->Copy(batch->data.get() + batch->used_bytes);
    batch->offsets[batch->count] = static_cast<uint32_t>(batch->used_bytes);
    batch->lengths[batch->count] = size;
    batch->sources[batch->count] = item.source->number;
    batch->count++;
    batch->used_bytes += room;

    // Statistics are read by the JS thread under the lock, which this thread takes once a batch and not once a record.
    SourceStats &stats = item.source->pending;
    stats.received++;
    stats.received_bytes += size;
    if (item.time_ns < last_time_ns_)
        stats.late += item.time_ns != 0;
    else
        last_time_ns_ = item.time_ns;
    if (item.source->last_batch != batch_number_) {
        item.source->last_batch = batch_number_;
        stats.batches++;
    }
    return true;
}

// Gives the room of what was copied back to the kernel, waits until JS is done with the batch before, and hands this
// one over.
bool ReaderCore::Publish() {
    for (const auto &source : round_) {
        for (const auto &ring : source->rings)
            ring->Release();
    }
    std::unique_lock lock(mutex_);
    for (const auto &source : round_)
        source->CountPending();
    if (batches_[filling_]->count == 0)
        return !is_stopping_;
    batch_done_.wait(lock, [this] { return is_stopping_ || !is_in_flight_; });
    if (is_stopping_)
        return false;
    is_in_flight_ = true;
    auto delivery = std::make_unique<Delivery>();
    delivery->batch = filling_;
    filling_ ^= 1;
    batches_[filling_]->count = 0;
    batches_[filling_]->used_bytes = 0;
    batch_number_++;
    return post_(std::move(delivery));
}

} // namespace hotspan
