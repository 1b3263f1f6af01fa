// Reads a perf buffer; see perf-ring.h. The layout is that of perf_event_open(2).
#include "perf-ring.h"

#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hotspan {

// Since 6.0. Spelt out because older headers lack it.
static constexpr uint64_t perf_format_lost = 1 << 4;

// The reader is woken whenever another fourth of the buffer was written: it then has three to make room in.
static constexpr size_t watermark_share = 4;

static Fd OpenOutputEvent(int cpu, size_t watermark_bytes, uint64_t read_format) {
    perf_event_attr attributes{};
    attributes.size = sizeof(attributes);
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_BPF_OUTPUT;
    attributes.sample_type = PERF_SAMPLE_RAW;
    attributes.sample_period = 1;
    attributes.read_format = read_format;
    // The reader looks by itself, on a timer; the kernel wakes it for what comes faster, and for no single record.
    attributes.watermark = 1;
    attributes.wakeup_watermark = static_cast<uint32_t>(watermark_bytes);
    return Fd(static_cast<int>(syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
}

PerfRing::~PerfRing() {
    if (mapping_)
        munmap(mapping_, mapped_bytes_);
}

int PerfRing::Open(int cpu, size_t pages) {
    size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_t watermark_bytes = pages * page_bytes / watermark_share;
    cpu_ = cpu;
    has_lost_count_ = true;
    fd_ = OpenOutputEvent(cpu, watermark_bytes, perf_format_lost);
    if (!fd_ && errno == EINVAL) {
        has_lost_count_ = false;
        fd_ = OpenOutputEvent(cpu, watermark_bytes, 0);
    }
    if (!fd_)
        return -errno;
    size_t wanted_bytes = (pages + 1) * page_bytes;
    void *memory = mmap(nullptr, wanted_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (memory == MAP_FAILED)
        return -errno;
    mapping_ = static_cast<uint8_t *>(memory);
    mapped_bytes_ = wanted_bytes;
    data_ = mapping_ + page_bytes;
    mask_ = pages * page_bytes - 1;
    return 0;
}

void PerfRing::ReadHead() {
    auto *control = reinterpret_cast<perf_event_mmap_page *>(mapping_);
    // Pairs with the kernel's store: what lies before the head is complete once the head is seen.
    head_ = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
}

void PerfRing::CopyOut(uint64_t position, void *to, size_t size_bytes) const {
    size_t start = position & mask_;
    size_t first = std::min<size_t>(size_bytes, mask_ + 1 - start);
    memcpy(to, data_ + start, first);
    memcpy(static_cast<uint8_t *>(to) + first, data_, size_bytes - first);
}

bool PerfRing::Next() {
    while (head_ - tail_ >= sizeof(perf_event_header)) {
        perf_event_header header;
        CopyOut(tail_, &header, sizeof(header));
        if (header.size < sizeof(header) || header.size > head_ - tail_) {
            // Not a record: the kernel never writes this. Going on from the head is the only safe way.
            tail_ = head_;
            return false;
        }
        record_bytes_ = header.size;
        if (header.type == PERF_RECORD_SAMPLE && header.size >= sizeof(header) + sizeof(uint32_t)) {
            uint32_t size = 0;
            CopyOut(tail_ + sizeof(header), &size, sizeof(size));
            size_bytes_ = std::min<uint32_t>(size, header.size - sizeof(header) - sizeof(uint32_t));
            time_ns_ = 0;
            if (size_bytes_ >= sizeof(time_ns_))
                CopyOut(tail_ + sizeof(header) + sizeof(uint32_t), &time_ns_, sizeof(time_ns_));
            return true;
        }
        if (header.type == PERF_RECORD_LOST && header.size >= sizeof(header) + 2 * sizeof(uint64_t)) {
            uint64_t lost = 0;
            CopyOut(tail_ + sizeof(header) + sizeof(uint64_t), &lost, sizeof(lost));
            lost_records_.fetch_add(lost, std::memory_order_relaxed);
        }
        tail_ += header.size;
    }
    return false;
}

void PerfRing::Copy(uint8_t *to) const {
    CopyOut(tail_ + sizeof(perf_event_header) + sizeof(uint32_t), to, size_bytes_);
}

void PerfRing::Pop() {
    tail_ += record_bytes_;
}

void PerfRing::Release() {
    auto *control = reinterpret_cast<perf_event_mmap_page *>(mapping_);
    // Pairs with the kernel's load: our reads of the records come before their room is given back.
    __atomic_store_n(&control->data_tail, tail_, __ATOMIC_RELEASE);
}

uint64_t PerfRing::Lost() const {
    struct {
        uint64_t value, lost;
    } counts{};
    if (has_lost_count_ && read(fd_.get(), &counts, sizeof(counts)) == sizeof(counts))
        return std::max<uint64_t>(counts.lost, lost_records_.load(std::memory_order_relaxed));
    return lost_records_.load(std::memory_order_relaxed);
}

} // namespace hotspan
