/** Reading, checking and forgetting of processes. */
#include "process-table.h"

#include <algorithm>

#include "captured-code.h"
#include "clock.h"

namespace hotspan::symbols {
namespace {

constexpr size_t maxProcesses = 4096;
// An ordinary process takes 2 to 20 KB. Only executable mappings are kept.
constexpr size_t maxMappingBytes = 32U << 20;
// vm.max_map_count is 65,530 by default: a process at that limit costs 20 ms and is read in full.
constexpr size_t maxLines = 66'000;
// After a miss mappings are read at most four times a second, and so that reading takes at most 2 % of the time.
constexpr uint64_t minReadIntervalNs = 250 * nsPerMs;
constexpr uint64_t readCostFactor = 50;
// Whether the pid still is the same process is asked every two seconds, should its exit have gone unnoticed.
constexpr uint64_t checkIntervalNs = 2 * nsPerS;
// Code loaded where other code was before is noticed no later than this, times the cost factor where mappings are many.
constexpr uint64_t rereadIntervalNs = 10 * nsPerS;
// Samples of a process arrive up to some tenths of a second after its exit.
constexpr uint64_t exitGraceNs = 5 * nsPerS;
// A program has some dozens of libraries; one that loads and unloads others looks them up anew.
constexpr size_t maxCaptured = 256;

} // namespace

Process *ProcessTable::find(int pid) {
    uint64_t now = coarseNs();
    forgetExited(now);
    auto known = byPid_.find(pid);
    if (known != byPid_.end()) {
        if (known->second != processes_.begin()) {
            processes_.splice(processes_.begin(), processes_, known->second);
        }
        if (now >= known->second->checkNs) {
            revalidate(*known->second);
        }
        return &*known->second;
    }
    while (processes_.size() >= maxProcesses || (bytes_ > maxMappingBytes && !processes_.empty())) {
        forget(std::prev(processes_.end()));
    }
    processes_.emplace_front();
    byPid_.emplace(pid, processes_.begin());
    processes_.front().pid = pid;
    bytes_ += bytesOf(processes_.front());
    read(processes_.front());
    return &processes_.front();
}

void ProcessTable::read(Process &process) {
    uint64_t begin = monotonicNs();
    uint64_t ticks = readStartTicks(process.pid);
    std::optional<Mappings> maps;
    if (ticks != 0) {
        maps = readMappings(process.pid, maxLines);
    }
    process.readNs = begin;
    process.checkNs = begin + checkIntervalNs;
    if (!maps) {
        // Gone or going: what was known stays, and it is asked again soon, should the pid be given to another.
        process.checkNs = begin + minReadIntervalNs;
        return;
    }
    if (ticks != process.startTicks && process.jit) {
        endedJits_.emplace_back(begin, std::move(process.jit));
        process.jit.reset();
    }
    std::vector<Process::Resolved> resolved(maps->mappings.size());
    if (ticks == process.startTicks) {
        // Mappings that are as they were keep their modules; both lists are sorted.
        size_t old = 0;
        for (size_t i = 0; i < resolved.size(); i++) {
            const Mapping &now = maps->mappings[i];
            while (old < process.resolved.size() && process.maps.mappings[old].start < now.start) {
                old++;
            }
            if (old == process.resolved.size()) {
                break;
            }
            const Mapping &was = process.maps.mappings[old];
            if (was.start == now.start && was.end == now.end && was.fileOffset == now.fileOffset &&
                was.inode == now.inode && was.deviceMajor == now.deviceMajor && was.deviceMinor == now.deviceMinor &&
                process.maps.paths[was.path] == maps->paths[now.path]) {
                resolved[i] = process.resolved[old];
            }
        }
    }
    bytes_ -= bytesOf(process);
    process.startTicks = ticks;
    process.maps = std::move(*maps);
    process.resolved = std::move(resolved);
    bytes_ += bytesOf(process);
    process.captured.clear();
    process.exitedNs = 0;
    process.readCostNs = monotonicNs() - begin;
    if (process.jit) {
        noteDumps(process);
    }
}

void ProcessTable::revalidate(Process &process) {
    uint64_t now = monotonicNs();
    uint64_t ticks = readStartTicks(process.pid);
    process.checkNs = now + checkIntervalNs;
    if (ticks == 0) {
        markExited(process, now);
        return;
    }
    bool isOther = ticks != process.startTicks;
    bool isOld = now - process.readNs > std::max(rereadIntervalNs, 10 * readCostFactor * process.readCostNs);
    if (isOther || isOld) {
        read(process);
    }
}

bool ProcessTable::refresh(Process &process) {
    uint64_t now = coarseNs();
    if (process.exitedNs != 0 ||
        now < process.readNs + std::max(minReadIntervalNs, readCostFactor * process.readCostNs)) {
        return false;
    }
    read(process);
    return true;
}

void ProcessTable::noteDumps(Process &process) {
    for (const Mapping &mapping : process.maps.mappings) {
        const std::string &path = process.maps.paths[mapping.path];
        if (isJitDumpPath(path)) {
            process.jit->noteDump({process.pid, mapping.start, mapping.end, mapping.inode, path});
        }
    }
}

const Process::Resolved &ProcessTable::resolve(Process &process, size_t index) {
    Process::Resolved &resolved = process.resolved[index];
    if (resolved.module) {
        return resolved;
    }
    const Mapping &mapping = process.maps.mappings[index];
    resolved.module = modules_.ofMapping(process.pid, mapping, process.maps.paths[mapping.path]);
    if (!resolved.module) {
        if (!process.jit) {
            process.jit =
                std::make_shared<JitCode>(process.pid, process.startTicks, runtimeOf(readExecutablePath(process.pid)));
            process.jit->module = modules_.add(ModuleType::jit, process.jit)->id;
            process.jit->open();
            noteDumps(process);
        }
        resolved.module = modules_.find(process.jit->module);
        return resolved;
    }
    resolved.bias = biasOf(*resolved.module, mapping);
    return resolved;
}

uint64_t ProcessTable::biasOf(const Module &module, const Mapping &mapping) {
    uint64_t begin = mapping.fileOffset;
    if (module.file && module.file->elf) {
        // Segments are mapped page by page: the first byte of a mapping stands before its segment's first byte.
        begin = module.file->elf->addressOf(mapping.fileOffset).value_or(mapping.fileOffset);
    }
    return begin - mapping.start;
}

const Process::Resolved *ProcessTable::resolveCaptured(Process &process, uint64_t address) {
    for (const Process::Captured &known : process.captured) {
        if (address >= known.start && address < known.end) {
            return &known.resolved;
        }
    }
    std::optional<CapturedCode> code = capturedCodeAt(process.pid, address);
    std::shared_ptr<Module> module = code ? modules_.ofCaptured(process.pid, *code) : nullptr;
    if (!module) {
        return nullptr;
    }
    if (process.captured.size() >= maxCaptured) {
        process.captured.clear();
    }
    uint64_t bias = biasOf(*module, code->mapping);
    process.captured.push_back({code->mapping.start, code->mapping.end, {std::move(module), bias}});
    return &process.captured.back().resolved;
}

void ProcessTable::changed(int pid) {
    if (auto known = byPid_.find(pid); known != byPid_.end()) {
        forget(known->second);
    }
}

void ProcessTable::markExited(Process &process, uint64_t nowNs) {
    if (process.exitedNs == 0) {
        process.exitedNs = nowNs;
        exits_.emplace_back(nowNs, process.pid);
    }
    process.checkNs = nowNs + minReadIntervalNs;
}

void ProcessTable::exited(int pid) {
    uint64_t now = coarseNs();
    if (auto known = byPid_.find(pid); known != byPid_.end()) {
        markExited(*known->second, now);
    }
    forgetExited(now);
}

void ProcessTable::forget(List::iterator process) {
    if (process->jit) {
        endedJits_.emplace_back(coarseNs(), std::move(process->jit));
    }
    bytes_ -= bytesOf(*process);
    byPid_.erase(process->pid);
    processes_.erase(process);
}

void ProcessTable::forgetExited(uint64_t nowNs) {
    while (!exits_.empty() && nowNs - exits_.front().first > exitGraceNs) {
        auto known = byPid_.find(exits_.front().second);
        // Not if the pid was given to a new process since.
        if (known != byPid_.end() && known->second->exitedNs == exits_.front().first) {
            forget(known->second);
        }
        exits_.pop_front();
    }
    while (!endedJits_.empty() && nowNs - endedJits_.front().first > 2 * exitGraceNs) {
        endedJits_.front().second->release();
        endedJits_.pop_front();
    }
}

size_t ProcessTable::bytesOf(const Process &process) {
    return sizeof process + process.maps.bytes() + process.resolved.capacity() * sizeof(Process::Resolved) + 64;
}

} // namespace hotspan::symbols
