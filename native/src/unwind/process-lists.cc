/** Keeping the lists of processes. */
#include "process-lists.h"

#include <algorithm>

#include "../symbols/clock.h"

namespace hotspan::unwind {
namespace {

using symbols::nsPerMs;
using symbols::nsPerS;

constexpr size_t maxProcesses = 32768;
// vm.max_map_count is 65,530 by default; such a process is read in full, as seldom as the cost factor says.
constexpr size_t maxLines = 66'000;
// Samples and copied stacks of a process arrive up to some tenths of a second after its exit or exec.
constexpr uint64_t keepPastNs = 5 * nsPerS;
// A program with 400 libraries maps 1,600 ranges at its start. What maps more in a second is read once in a while.
constexpr uint32_t maxEventsPerSecond = 2000;
// Reading of one process takes at most 2 % of the time.
constexpr uint64_t minReadIntervalNs = 250 * nsPerMs;
constexpr uint64_t readCostFactor = 50;
constexpr size_t maxPast = 16;

} // namespace

ProcessLists::ProcessLists(BlockArena &arena, ListPublisher &publisher,
                           std::function<void(std::shared_ptr<CodeFile>)> onNewFile)
    : arena_(arena), publisher_(publisher), onNewFile_(std::move(onNewFile)) {}

ProcessLists::Process *ProcessLists::add(int pid) {
    if (auto known = processes_.find(pid); known != processes_.end()) {
        return &known->second;
    }
    // Those that have ended are remembered only as long as there is room.
    while (processes_.size() >= maxProcesses && !exits_.empty()) {
        auto [exitedNs, ended] = exits_.front();
        exits_.pop_front();
        if (auto process = processes_.find(ended);
            process != processes_.end() && process->second.exitedNs == exitedNs) {
            remove(ended);
        }
    }
    if (processes_.size() >= maxProcesses) {
        return nullptr;
    }
    Process &process = processes_[pid];
    process.pid = pid;
    process.list = std::make_shared<MappingList>(arena_);
    return &process;
}

void ProcessLists::hide(Process &process) {
    if (process.word != 0) {
        publisher_.remove(process.pid);
        process.word = 0;
    }
}

void ProcessLists::remove(int pid) {
    hide(processes_[pid]);
    processes_.erase(pid);
}

void ProcessLists::readSoon(Process &process) {
    if (!process.isReadDue) {
        process.isReadDue = true;
        toRead_.push_back(process.pid);
    }
}

void ProcessLists::beginImage(Process &process, uint64_t timeNs, std::shared_ptr<MappingList> list) {
    process.past.push_back({timeNs, std::move(process.list)});
    if (process.past.size() > maxPast) {
        process.past.pop_front();
    }
    process.list = std::move(list);
    process.exitedNs = 0;
    process.isStormy = false;
    isChanged_ = true;
}

MappingList &ProcessLists::writable(Process &process) {
    // Of a child that shares its parent's list, or of an image of the past that shares it.
    if (process.list.use_count() > 1) {
        process.list = process.list->copy();
    }
    return *process.list;
}

CodeRange ProcessLists::rangeOf(const FileMapping &mapping, uint64_t fileOffset, uint64_t nowNs) {
    CodeRange range{mapping.start, mapping.end, fileOffset, files_.of(mapping, nowNs)};
    if (range.file && !range.file->isRead && !range.file->isQueued) {
        onNewFile_(range.file);
    }
    return range;
}

void ProcessLists::apply(const ProcessEvent &event) {
    switch (event.type) {
    case ProcessEvent::Type::fork:
        return applyFork(event);
    case ProcessEvent::Type::exec:
        if (Process *process = add(event.pid)) {
            beginImage(*process, event.timeNs, std::make_shared<MappingList>(arena_));
        }
        return;
    case ProcessEvent::Type::exit:
        if (auto known = processes_.find(event.pid); known != processes_.end()) {
            known->second.exitedNs = event.timeNs;
            exits_.emplace_back(event.timeNs, event.pid);
            hide(known->second);
        }
        return;
    case ProcessEvent::Type::map:
        if (auto known = processes_.find(event.pid); known != processes_.end()) {
            applyMap(known->second, event);
        } else {
            read(event.pid);
        }
        return;
    }
}

void ProcessLists::applyFork(const ProcessEvent &event) {
    auto parent = processes_.find(event.parentPid);
    if (parent == processes_.end()) {
        read(event.pid);
        return;
    }
    std::shared_ptr<MappingList> list = parent->second.list;
    bool isParentStormy = parent->second.isStormy;
    bool isPidKnown = processes_.contains(event.pid);
    Process *child = add(event.pid);
    if (child == nullptr) {
        return;
    }
    if (isPidKnown) {
        beginImage(*child, event.timeNs, std::move(list));
    } else {
        child->list = std::move(list);
        isChanged_ = true;
    }
    child->parentPid = event.parentPid;
    if (isParentStormy) {
        readSoon(*child);
    }
}

void ProcessLists::applyMap(Process &process, const ProcessEvent &event) {
    if (process.isStormy) {
        return;
    }
    if (event.timeNs > process.windowNs + nsPerS) {
        process.windowNs = event.timeNs;
        process.eventCount = 0;
    }
    process.isStormy = ++process.eventCount > maxEventsPerSecond;
    if (process.isStormy || process.list->isStale()) {
        readSoon(process);
    }
    FileMapping mapping{process.pid, process.parentPid, event.start,       event.end,
                        event.inode, event.deviceMajor, event.deviceMinor, event.path};
    // The clock is read anew: the event may have waited, and files are checked by real time.
    CodeRange range = rangeOf(mapping, event.fileOffset, symbols::coarseNs());
    MappingList &list = writable(process);
    bool isAdded = list.add(std::move(range));
    isChanged_ |= isAdded;
}

void ProcessLists::take(int pid, const symbols::Mappings &maps, uint64_t readNs) {
    Process *process = add(pid);
    if (process == nullptr) {
        return;
    }
    std::vector<CodeRange> ranges;
    uint64_t now = symbols::coarseNs();
    for (const symbols::Mapping &line : maps.mappings) {
        if (ranges.size() > UNWIND_MAX_MAPPINGS) {
            break;
        }
        FileMapping mapping{pid,        process->parentPid, line.start,       line.end,
                            line.inode, line.deviceMajor,   line.deviceMinor, maps.paths[line.path]};
        ranges.push_back(rangeOf(mapping, line.fileOffset, now));
    }
    writable(*process).replace(std::move(ranges));
    process->readNs = readNs;
    process->readCostNs = symbols::monotonicNs() - std::min(readNs, symbols::monotonicNs());
    process->isStormy = false;
    process->isReadDue = false;
    process->eventCount = 0;
    isChanged_ = true;
}

bool ProcessLists::read(int pid) {
    uint64_t now = symbols::monotonicNs();
    auto known = processes_.find(pid);
    if (known == processes_.end() && processes_.size() >= maxProcesses) {
        return false;
    }
    if (known != processes_.end() &&
        now < known->second.readNs + std::max(minReadIntervalNs, readCostFactor * known->second.readCostNs)) {
        return false;
    }
    rereads_++;
    std::optional<symbols::Mappings> maps = symbols::readMappings(pid, maxLines);
    if (!maps) {
        return false;
    }
    take(pid, *maps, now);
    return true;
}

void ProcessLists::tick(uint64_t nowNs) {
    while (!exits_.empty() && exits_.front().first + keepPastNs < nowNs) {
        auto [exitedNs, pid] = exits_.front();
        exits_.pop_front();
        auto known = processes_.find(pid);
        // The pid may be another process's by now; and where only the first thread ended, the process goes on.
        if (known == processes_.end() || known->second.exitedNs != exitedNs) {
            continue;
        }
        if (symbols::readMappings(pid, 1)) {
            known->second.exitedNs = 0;
            isChanged_ = true;
            continue;
        }
        remove(pid);
    }
    std::vector<int> due;
    due.swap(toRead_);
    for (int pid : due) {
        auto known = processes_.find(pid);
        if (known != processes_.end() && known->second.isReadDue && known->second.exitedNs == 0 && !read(pid)) {
            toRead_.push_back(pid);
        }
    }
    if (nowNs < pastCheckNs_ + nsPerS) {
        return;
    }
    pastCheckNs_ = nowNs;
    for (auto &[pid, process] : processes_) {
        while (!process.past.empty() && process.past.front().endNs + keepPastNs < nowNs) {
            process.past.pop_front();
        }
        isChanged_ |= process.isRefused;
        process.isRefused = false;
    }
}

void ProcessLists::publishOne(Process &process, uint64_t nowNs) {
    MappingList &list = *process.list;
    if (list.isDirty() && nowNs >= list.nextPublishNs() && !list.publish(nowNs, retired_) && list.isUrgent()) {
        // What it refers to goes: better no list than one of something else.
        hide(process);
        return;
    }
    if (list.word() == 0) {
        // A new image that found no room: the old one's list would lead nowhere.
        hide(process);
    } else if (process.word != list.word() && !process.isRefused) {
        process.isRefused = !publisher_.publish(process.pid, list.word());
        unpublished_ += process.isRefused ? 1 : 0;
        process.word = process.isRefused ? 0 : list.word();
    }
}

bool ProcessLists::publish(uint64_t nowNs) {
    if (!isChanged_) {
        return false;
    }
    isChanged_ = false;
    for (auto &[pid, process] : processes_) {
        if (process.exitedNs == 0) {
            publishOne(process, nowNs);
            isChanged_ |= process.list->isDirty();
        }
    }
    // No process refers to the copies before these any more.
    for (const Room &room : retired_) {
        arena_.give(room);
    }
    retired_.clear();
    return isChanged_;
}

template <typename Visit> void ProcessLists::forEachList(Visit visit) {
    for (auto &[pid, process] : processes_) {
        visit(*process.list);
        for (const Past &past : process.past) {
            visit(*past.list);
        }
    }
}

void ProcessLists::fileRead(const CodeFile &file) {
    forEachList([&](MappingList &list) {
        if (list.uses(file)) {
            list.markDirty();
            isChanged_ = true;
        }
    });
}

bool ProcessLists::publishFor(MappingList &list) {
    // A process may still refer to the copy before: that goes with the next publish() of all.
    isChanged_ = true;
    return list.publish(symbols::monotonicNs(), retired_);
}

void ProcessLists::tableReady(const PlacedTable &table) {
    forEachList([&](MappingList &list) {
        if (list.uses(table)) {
            list.markDirty();
            isChanged_ = true;
        }
    });
}

void ProcessLists::tableEvicted(const PlacedTable &table, const std::vector<Room> &rooms) {
    forEachList([&table](MappingList &list) {
        if (list.uses(table)) {
            list.markUrgent();
        }
    });
    retired_.insert(retired_.end(), rooms.begin(), rooms.end());
    isChanged_ = true;
}

std::shared_ptr<MappingList> ProcessLists::listAt(int pid, uint64_t timeNs) const {
    auto known = processes_.find(pid);
    if (known == processes_.end()) {
        return nullptr;
    }
    for (const Past &past : known->second.past) {
        if (timeNs < past.endNs) {
            return past.list;
        }
    }
    return known->second.list;
}

const CodeRange *ProcessLists::findEver(int pid, uint64_t address) const {
    auto known = processes_.find(pid);
    if (known == processes_.end()) {
        return nullptr;
    }
    const CodeRange *range = known->second.list->find(address);
    const std::deque<Past> &past = known->second.past;
    for (auto image = past.rbegin(); range == nullptr && image != past.rend(); ++image) {
        range = image->list->find(address);
    }
    return range;
}

void ProcessLists::forEach(const std::function<void(int, const MappingList &)> &visit) const {
    for (const auto &[pid, process] : processes_) {
        visit(pid, *process.list);
    }
}

size_t ProcessLists::mappingCount() const {
    size_t count = 0;
    for (const auto &[pid, process] : processes_) {
        count += process.list->ranges().size();
    }
    return count;
}

} // namespace hotspan::unwind
