/**
 * The mappings of processes, read when a process is first seen and again when an address falls outside of them, but
 * never so often that a process could make us spin. Not locked: the engine's lock guards it.
 */
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "module-store.h"
#include "proc-maps.h"

namespace hotspan::symbols {

struct Process {
    /** Module of a mapping, found when an address in it is first seen. */
    struct Resolved {
        std::shared_ptr<Module> module;
        /** What to add to an address to get the module's own address. */
        uint64_t bias = 0;
    };

    int pid = 0;
    uint64_t startTicks = 0;
    Mappings maps;
    /** As many as maps.mappings. */
    std::vector<Resolved> resolved;
    /** Looked up one by one, after `maps` failed: of a process that is gone, or ran another program before. */
    struct Captured {
        uint64_t start = 0;
        uint64_t end = 0;
        Resolved resolved;
    };
    std::vector<Captured> captured;
    std::shared_ptr<JitCode> jit;
    uint64_t readNs = 0;
    uint64_t readCostNs = 0;
    uint64_t checkNs = 0;
    /** 0 while it runs. */
    uint64_t exitedNs = 0;
};

class ProcessTable {
  public:
    explicit ProcessTable(ModuleStore &modules) : modules_(modules) {}

    /** The process as it is now, or was when last seen if it is gone. Never null. */
    Process *find(int pid);
    /** Reads the mappings again because an address is in none of them; false where that was done too lately. */
    bool refresh(Process &process);
    const Process::Resolved &resolve(Process &process, size_t mapping);
    /** Of an address in none of its mappings: in those that it had. Null where that is not known. */
    const Process::Resolved *resolveCaptured(Process &process, uint64_t address);

    void changed(int pid);
    void exited(int pid);

    size_t size() const { return byPid_.size(); }
    size_t bytes() const { return bytes_; }

  private:
    using List = std::list<Process>;
    void read(Process &process);
    /** Tells a process's JIT code of the jitdumps that are mapped. */
    static void noteDumps(Process &process);
    void revalidate(Process &process);
    void markExited(Process &process, uint64_t nowNs);
    void forget(List::iterator process);
    void forgetExited(uint64_t nowNs);
    static uint64_t biasOf(const Module &module, const Mapping &mapping);
    static size_t bytesOf(const Process &process);

    ModuleStore &modules_;
    size_t bytes_ = 0;
    /** Most recently used first. */
    List processes_;
    std::unordered_map<int, List::iterator> byPid_;
    std::deque<std::pair<uint64_t, int>> exits_;
    /** Code of processes that have ended, released a while after. */
    std::deque<std::pair<uint64_t, std::shared_ptr<JitCode>>> endedJits_;
};

} // namespace hotspan::symbols
