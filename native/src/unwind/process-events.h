/**
 * What processes do to their code, as the kernel tells it: mapping of executable memory, exec, fork, exit. Side-band
 * records of a perf event that counts nothing, one per CPU, put into the order of time.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../symbols/byte-source.h"

namespace hotspan::unwind {

struct ProcessEvent {
    enum class Type : uint8_t { map, exec, fork, exit };
    Type type = Type::map;
    /** CLOCK_MONOTONIC, as bpf_ktime_get_ns. */
    uint64_t timeNs = 0;
    int pid = 0;
    /** Of a fork. */
    int parentPid = 0;
    /** Of a map, as all that follows. */
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t fileOffset = 0;
    uint64_t inode = 0;
    uint32_t deviceMajor = 0;
    uint32_t deviceMinor = 0;
    /** As in /proc/PID/maps, but "//anon" for memory without a name. */
    std::string path;
};

/** A record's body as perf_event_open(2) lays it out, behind its header; nothing where it is of no interest (a thread's
 * start, a change of name). */
bool parseProcessEvent(uint32_t type, uint16_t misc, const uint8_t *body, size_t sizeBytes, ProcessEvent &event);

class ProcessEvents {
  public:
    ProcessEvents();
    ~ProcessEvents();
    ProcessEvents(const ProcessEvents &) = delete;
    ProcessEvents &operator=(const ProcessEvents &) = delete;

    /** Begins to listen on all CPUs that are online. 0 or a negative errno. */
    int open();
    /** Readable as soon as there is an event, of each CPU. */
    std::vector<int> descriptors() const;
    /**
     * All events up to a time that it sets, a little before now, in order: of what came later another CPU may yet tell
     * something earlier. At most `maxEvents`. True where there is more.
     */
    bool drain(size_t maxEvents, std::vector<ProcessEvent> &events, uint64_t &untilNs);
    /** Records that the kernel had no room for. */
    uint64_t lost() const { return lost_; }
    size_t bufferBytes() const;

  private:
    struct Ring;
    std::vector<std::unique_ptr<Ring>> rings_;
    uint64_t lost_ = 0;
};

} // namespace hotspan::unwind
