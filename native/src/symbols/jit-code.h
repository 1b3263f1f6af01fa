/** Code that a process made at run time: its perf-map, read when names are asked for, also shortly after the process
 * ended. */
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "perf-map.h"

namespace hotspan::symbols {

/** Which engine a process most likely is, by its executable. Decides the kind of frames without a better sign. */
enum class Runtime : uint8_t { unknown, node, jvm, python };

Runtime runtimeOf(std::string_view executablePath);

class JitCode {
  public:
    JitCode(int pid, uint64_t startTicks, Runtime runtime) : pid_(pid), startTicks_(startTicks), runtime_(runtime) {}

    Runtime runtime() const { return runtime_; }

    /** Opens the perf-map if there is one by now: while the process lives, so that it can be read after. Any thread. */
    void open();

    struct Name {
        std::optional<std::string> raw;
        /** Since the last call code that was named before was replaced, or code that had no name got one: locate it
         * anew. */
        bool isChanged = false;
        bool hasPerfMap = false;
    };
    /** Reads the tail of the perf-map, at most once in 20 ms, then looks the address up. Any thread. */
    Name find(uint64_t address);
    /** The process is long gone: closes the file, frees the names. */
    void release();
    size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

    /** Reads the tail of the perf-map; true as Name::isChanged. Any thread. */
    bool refresh();

    /** Module that locations in this code belong to now; a new one when code was replaced. Guarded by the engine's
     * lock. */
    uint32_t module = 0;
    /** When the engine last asked whether code was replaced. Guarded by its lock. */
    uint64_t checkedNs = 0;

  private:
    void openLocked();
    bool updateLocked();

    const int pid_;
    const uint64_t startTicks_;
    const Runtime runtime_;
    std::mutex mutex_;
    UniqueFd fd_;
    bool isReleased_ = false;
    uint64_t openTriedNs_ = 0;
    uint64_t updatedNs_ = 0;
    PerfMap map_;
    /** Addresses that had no name when they were asked for: an engine may write its lines late. */
    std::vector<uint64_t> unnamed_;
    std::atomic<size_t> bytes_{0};
};

} // namespace hotspan::symbols
