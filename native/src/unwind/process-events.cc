/** Reading of side-band records from perf buffers; the layout is that of perf_event_open(2). */
#include "process-events.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../cpus.h"
#include "../symbols/clock.h"

namespace hotspan::unwind {
namespace {

// 128 KiB a CPU: about 80 execs of programs with ten libraries each between two drains.
constexpr size_t ringPages = 32;
// A record's time is taken before it is written, in the middle of mmap or fork.
constexpr uint64_t settleNs = symbols::nsPerMs;
// A path has at most PATH_MAX bytes; the kernel's record at most 64 KiB.
constexpr size_t maxRecordBytes = 65536;

template <typename T> T take(const uint8_t *&at) {
    T value;
    memcpy(&value, at, sizeof value);
    at += sizeof value;
    return value;
}

struct perf_event_attr attributes() {
    perf_event_attr attributes{};
    attributes.size = sizeof attributes;
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_DUMMY;
    attributes.sample_type = PERF_SAMPLE_TIME;
    attributes.sample_id_all = 1;
    attributes.mmap = 1;
    attributes.mmap2 = 1;
    attributes.comm = 1;
    attributes.comm_exec = 1;
    attributes.task = 1;
    attributes.use_clockid = 1;
    attributes.clockid = CLOCK_MONOTONIC;
    attributes.wakeup_events = 1;
    return attributes;
}

bool parseMap(const uint8_t *body, size_t sizeBytes, ProcessEvent &event) {
    // pid, tid, addr, len, pgoff, maj, min, ino, ino_generation, prot, flags, filename.
    constexpr size_t fixedBytes = 2 * 4 + 3 * 8 + 2 * 4 + 2 * 8 + 2 * 4;
    if (sizeBytes < fixedBytes) {
        return false;
    }
    const uint8_t *at = body;
    event.type = ProcessEvent::Type::map;
    event.pid = take<int>(at);
    at += 4;
    event.start = take<uint64_t>(at);
    event.end = event.start + take<uint64_t>(at);
    event.fileOffset = take<uint64_t>(at);
    event.deviceMajor = take<uint32_t>(at);
    event.deviceMinor = take<uint32_t>(at);
    event.inode = take<uint64_t>(at);
    at += 8 + 2 * 4;
    const char *path = reinterpret_cast<const char *>(at);
    event.path.assign(path, strnlen(path, sizeBytes - fixedBytes));
    return event.start < event.end;
}

} // namespace

bool parseProcessEvent(uint32_t type, uint16_t misc, const uint8_t *body, size_t sizeBytes, ProcessEvent &event) {
    // All records end with their time, because of sample_id_all.
    if (sizeBytes < 8) {
        return false;
    }
    sizeBytes -= 8;
    memcpy(&event.timeNs, body + sizeBytes, 8);
    const uint8_t *at = body;
    switch (type) {
    case PERF_RECORD_MMAP2:
        return parseMap(body, sizeBytes, event);
    case PERF_RECORD_COMM:
        event.type = ProcessEvent::Type::exec;
        if (sizeBytes < 4 || (misc & PERF_RECORD_MISC_COMM_EXEC) == 0) {
            return false;
        }
        event.pid = take<int>(at);
        return true;
    case PERF_RECORD_FORK:
    case PERF_RECORD_EXIT: {
        if (sizeBytes < 16) {
            return false;
        }
        event.type = type == PERF_RECORD_FORK ? ProcessEvent::Type::fork : ProcessEvent::Type::exit;
        event.pid = take<int>(at);
        event.parentPid = take<int>(at);
        int tid = take<int>(at);
        // Threads come and go without a change to the process.
        return event.pid == tid && (type == PERF_RECORD_EXIT || event.pid != event.parentPid);
    }
    default:
        return false;
    }
}

struct ProcessEvents::Ring {
    symbols::UniqueFd fd;
    uint8_t *mapping = nullptr;
    size_t mappedBytes = 0;
    uint64_t mask = 0;
    uint64_t head = 0;
    uint64_t tail = 0;

    ~Ring() {
        if (mapping != nullptr) {
            munmap(mapping, mappedBytes);
        }
    }

    int open(int cpu) {
        perf_event_attr wanted = attributes();
        fd = symbols::UniqueFd(
            static_cast<int>(syscall(SYS_perf_event_open, &wanted, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
        if (!fd) {
            return -errno;
        }
        auto pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        void *memory = mmap(nullptr, (ringPages + 1) * pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
        if (memory == MAP_FAILED) {
            return -errno;
        }
        mapping = static_cast<uint8_t *>(memory);
        mappedBytes = (ringPages + 1) * pageBytes;
        mask = ringPages * pageBytes - 1;
        return 0;
    }

    void copyOut(uint64_t position, void *to, size_t sizeBytes) const {
        const uint8_t *data = mapping + (mappedBytes - mask - 1);
        size_t start = position & mask;
        size_t first = std::min<size_t>(sizeBytes, mask + 1 - start);
        memcpy(to, data + start, first);
        memcpy(static_cast<uint8_t *>(to) + first, data, sizeBytes - first);
    }
};

ProcessEvents::ProcessEvents() = default;
ProcessEvents::~ProcessEvents() = default;

int ProcessEvents::open() {
    for (int cpu : OnlineCpus()) {
        auto ring = std::make_unique<Ring>();
        if (int error = ring->open(cpu)) {
            // ENODEV: the CPU went away since the list was read.
            if (error == -ENODEV) {
                continue;
            }
            rings_.clear();
            return error;
        }
        rings_.push_back(std::move(ring));
    }
    return rings_.empty() ? -ENODEV : 0;
}

std::vector<int> ProcessEvents::descriptors() const {
    std::vector<int> descriptors;
    for (const auto &ring : rings_) {
        descriptors.push_back(ring->fd.get());
    }
    return descriptors;
}

size_t ProcessEvents::bufferBytes() const {
    size_t bytes = 0;
    for (const auto &ring : rings_) {
        bytes += ring->mappedBytes;
    }
    return bytes;
}

bool ProcessEvents::drain(size_t maxEvents, std::vector<ProcessEvent> &events, uint64_t &untilNs) {
    bool isMore = false;
    untilNs = symbols::monotonicNs() - settleNs;
    static thread_local std::vector<uint8_t> record(maxRecordBytes);
    for (auto &ring : rings_) {
        auto *control = reinterpret_cast<perf_event_mmap_page *>(ring->mapping);
        // Pairs with the kernel's store: what lies before the head is complete once the head is seen.
        ring->head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
        for (size_t taken = 0; ring->head - ring->tail >= sizeof(perf_event_header);) {
            perf_event_header header;
            ring->copyOut(ring->tail, &header, sizeof header);
            if (header.size < sizeof header || header.size > ring->head - ring->tail) {
                ring->tail = ring->head;
                break;
            }
            size_t bodyBytes = header.size - sizeof header;
            ring->copyOut(ring->tail + sizeof header, record.data(), bodyBytes);
            if (header.type == PERF_RECORD_LOST && bodyBytes >= 16) {
                uint64_t lost = 0;
                memcpy(&lost, record.data() + 8, sizeof lost);
                lost_ += lost;
            } else if (ProcessEvent event;
                       parseProcessEvent(header.type, header.misc, record.data(), bodyBytes, event)) {
                if (event.timeNs > untilNs || taken >= maxEvents) {
                    isMore = true;
                    untilNs = std::min(untilNs, event.timeNs > 0 ? event.timeNs - 1 : 0);
                    break;
                }
                events.push_back(std::move(event));
                taken++;
            }
            ring->tail += header.size;
        }
        // Pairs with the kernel's load: our reads come before their room is given back.
        __atomic_store_n(&control->data_tail, ring->tail, __ATOMIC_RELEASE);
    }
    std::stable_sort(events.begin(), events.end(),
                     [](const ProcessEvent &a, const ProcessEvent &b) { return a.timeNs < b.timeNs; });
    return isMore;
}

} // namespace hotspan::unwind
