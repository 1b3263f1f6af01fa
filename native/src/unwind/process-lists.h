/**
 * Which code each process has mapped, now and a short while ago, and its copy for the programs. Read from /proc once,
 * and kept by the events of process-events.h. What a process does costs a bounded share of our time, whatever it does.
 * Not locked: the engine's lock guards it.
 */
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "../symbols/proc-maps.h"
#include "mapping-list.h"
#include "process-events.h"

namespace hotspan::unwind {

/** Where the programs find the lists: the map unwind_processes, or none in tests. */
class ListPublisher {
  public:
    virtual ~ListPublisher() = default;
    /** False where there is no room for a further process. */
    virtual bool publish(int pid, uint64_t word) = 0;
    virtual void remove(int pid) = 0;
};

class ProcessLists {
  public:
    /** `onNewFile` is called with files that are to be read. */
    ProcessLists(BlockArena &arena, ListPublisher &publisher, std::function<void(std::shared_ptr<CodeFile>)> onNewFile);

    void apply(const ProcessEvent &event);
    /** Takes in what /proc/PID/maps said at a time; the process is added where it is not known. */
    void take(int pid, const symbols::Mappings &maps, uint64_t readNs);
    /** Reads /proc/PID/maps, unless that was done too lately. False where nothing was read. */
    bool read(int pid);

    /** Ends of processes and of what is remembered, and rereading where it is due. */
    void tick(uint64_t nowNs);
    /** Makes the programs see what has changed. True where something had to be put off; call again soon. */
    bool publish(uint64_t nowNs);
    /** What a file is has become known. */
    void fileRead(const CodeFile &file);
    /** Publishes one list now, so that it can be walked by: of the past, perhaps. False where there is no room. */
    bool publishFor(MappingList &list);
    /** A table was made. */
    void tableReady(const PlacedTable &table);
    /** A table is evicted; its room is given back after the next publish(). */
    void tableEvicted(const PlacedTable &table, const std::vector<Room> &rooms);

    /** Of a process at a time; null where it is not known. */
    std::shared_ptr<MappingList> listAt(int pid, uint64_t timeNs) const;
    /** In the newest of the process's programs that had code there; null where none had. */
    const CodeRange *findEver(int pid, uint64_t address) const;
    /** For eviction: each process's pid and list. */
    void forEach(const std::function<void(int, const MappingList &)> &visit) const;

    CodeFiles &files() { return files_; }
    size_t size() const { return processes_.size(); }
    size_t mappingCount() const;
    /** Processes that found no room in the map. */
    uint64_t unpublished() const { return unpublished_; }
    uint64_t rereads() const { return rereads_; }

  private:
    /** What a process ran before it called exec, or the process that had its pid before. */
    struct Past {
        uint64_t endNs;
        std::shared_ptr<MappingList> list;
    };
    struct Process {
        int pid = 0;
        int parentPid = 0;
        std::shared_ptr<MappingList> list;
        std::deque<Past> past;
        /** As the programs see it. */
        uint64_t word = 0;
        uint64_t exitedNs = 0;
        uint64_t readNs = 0;
        uint64_t readCostNs = 0;
        /** Mappings that were told since windowNs. */
        uint32_t eventCount = 0;
        uint64_t windowNs = 0;
        /** Maps so much that its events are passed over until it is read again. */
        bool isStormy = false;
        bool isReadDue = false;
        bool isRefused = false;
    };
    Process *add(int pid);
    void remove(int pid);
    void readSoon(Process &process);
    void applyMap(Process &process, const ProcessEvent &event);
    void applyFork(const ProcessEvent &event);
    void beginImage(Process &process, uint64_t timeNs, std::shared_ptr<MappingList> list);
    MappingList &writable(Process &process);
    CodeRange rangeOf(const FileMapping &mapping, uint64_t fileOffset, uint64_t nowNs);
    template <typename Visit> void forEachList(Visit visit);
    void publishOne(Process &process, uint64_t nowNs);
    void hide(Process &process);

    BlockArena &arena_;
    ListPublisher &publisher_;
    const std::function<void(std::shared_ptr<CodeFile>)> onNewFile_;
    CodeFiles files_;
    std::unordered_map<int, Process> processes_;
    std::deque<std::pair<uint64_t, int>> exits_;
    std::vector<int> toRead_;
    std::vector<Room> retired_;
    bool isChanged_ = false;
    uint64_t unpublished_ = 0;
    uint64_t rereads_ = 0;
    uint64_t pastCheckNs_ = 0;
};

} // namespace hotspan::unwind
