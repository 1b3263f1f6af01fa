/** Code that a process made at run time: its perf-map and its jitdump, read when names are asked for, also shortly
 * after the process ended. */
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "jit-dump.h"
#include "object-file.h"

namespace hotspan::symbols {

/** Which engine a process most likely is, by its executable. Decides the kind of frames without a better sign. */
enum class Runtime : uint8_t { unknown, node, jvm, python };

Runtime runtimeOf(std::string_view executablePath);

class JitCode {
  public:
    JitCode(int pid, uint64_t startTicks, Runtime runtime);

    Runtime runtime() const { return runtime_; }

    /** Opens the perf-map if there is one by now: while the process lives, so that it can be read after. Any thread. */
    void open();
    /** The process has its jitdump mapped, to make it known. */
    void noteDump(const FileSighting &sighting);

    struct Name {
        std::optional<std::string> raw;
        /** Of the address itself, where a jitdump tells. */
        std::string file;
        uint32_t line = 0;
        /** Since the last call code that was named before was replaced, or code that had no name got one: locate it
         * anew. */
        bool isChanged = false;
        bool hasNames = false;
    };
    /** Reads what was added, at most once in 20 ms, then looks the address up. Any thread. */
    Name find(uint64_t address);
    /** The process is long gone: closes the files, frees the names. */
    void release();
    size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

    /** Reads what was added; true as Name::isChanged. Any thread. */
    bool refresh();

    /** Module that locations in this code belong to now; a new one when code was replaced. Guarded by the engine's
     * lock. */
    uint32_t module = 0;
    /** When the engine last asked whether code was replaced. Guarded by its lock. */
    uint64_t checkedNs = 0;

  private:
    void openLocked();
    UniqueFd openMap() const;
    UniqueFd openDump() const;
    /** Urgent: also before it is due, if it is cheap. */
    bool updateLocked(bool isUrgent);
    bool hasNameLocked(uint64_t address) { return dump_.find(address).has_value() || map_.find(address).has_value(); }

    const int pid_;
    const uint64_t startTicks_;
    const Runtime runtime_;
    std::mutex mutex_;
    UniqueFd fd_;
    UniqueFd dumpFd_;
    /** Of pid 0: none was seen. */
    FileSighting dumpSighting_;
    bool isReleased_ = false;
    uint64_t openTriedNs_ = 0;
    uint64_t nextUpdateNs_ = 0;
    uint64_t updateCostNs_ = 0;
    PerfMap map_;
    JitDump dump_;
    /** Addresses that had no name when they were asked for: an engine may write its lines late. */
    std::vector<uint64_t> unnamed_;
    std::atomic<size_t> bytes_{0};
};

} // namespace hotspan::symbols
