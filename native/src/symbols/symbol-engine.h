/**
 * Addresses to locations to names: everything of the symbolizer that knows nothing of JavaScript. locate() is called by
 * one thread and is fast; describe() may be called by another at the same time, and reads files.
 */
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kernel-symbols.h"
#include "location-table.h"
#include "module-store.h"
#include "process-table.h"

namespace hotspan::symbols {

/** Order and meaning as in FrameKind of agent/bpf/native.ts. */
enum class FrameKind : uint8_t { kernel, native, go, v8js, jvm, cpython, rust, unresolved };
const char *frameKindName(FrameKind kind);

struct FrameLine {
    std::string name;
    std::string file;
    uint32_t line = 0;
};

struct ModuleText {
    std::string path;
    std::string buildId;
};

struct Frame {
    uint32_t id = 0;
    FrameKind kind = FrameKind::unresolved;
    bool isGuess = true;
    uint64_t address = 0;
    std::shared_ptr<const ModuleText> module;
    /** Innermost first; never empty. */
    std::vector<FrameLine> lines;
};

struct MemoryUse {
    size_t processes = 0;
    size_t modules = 0;
    size_t locations = 0;
    size_t bytes = 0;
};

/** What a process ran when it was seen; it may have ended or run something else since. */
struct ProcessImage {
    int pid = 0;
    int parentPid = 0;
    /** As the process sees it. */
    std::string path;
    uint64_t inode = 0;
};

class SymbolEngine {
  public:
    /** `maxBytes` is kept to by dropping symbol tables; the one in use stays, even if it alone is larger. */
    explicit SymbolEngine(size_t maxBytes);

    /** Ids of `addresses` (leaf first) into `ids`, which has room for as many. */
    void locate(int pid, std::span<const uint64_t> addresses, bool isKernel, uint32_t *ids);
    std::vector<Frame> describe(std::span<const uint32_t> ids);

    /** Code was seen that may have been replaced since it was named: maintain() should be called soon, by the thread
     * that describes. */
    bool needsMaintenance() const { return needsMaintenance_; }
    void maintain();
    /** Whether tables were built since the last call: the memory that it took can be given back. */
    bool takeHasBuilt() { return hasBuilt_.exchange(false); }

    void processChanged(int pid);
    void processExited(int pid);
    /** Hex; empty where there is none or the process is gone. */
    std::string executableBuildId(int pid);
    /** Hex, empty where the file has none; nothing where it cannot be had any more. */
    std::optional<std::string> imageBuildId(const ProcessImage &image);
    /** Build ids of files without debug information that were described since the last call; collected from the first
     * call on. */
    std::vector<std::string> takeMissingDebug();
    /**
     * A debug file was fetched for a build id, and lies at this path. Code with that build id gets new ids when it is
     * seen again, and is named by it.
     */
    void addDebugFile(const std::string &buildId, const std::string &path);
    KernelSymbols &kernel() { return kernel_; }
    MemoryUse memory();
    /** Reads the kernel's symbols, so that the first locate of kernel code knows what is code of modules. */
    void warmUp();
    /** describe() returns as soon as it can, with what it has. For closing. */
    void cancel() {
        isCancelled_ = true;
        kernel_.cancel();
    }

  private:
    struct Wanted {
        uint32_t index;
        Location location;
        std::shared_ptr<Module> module;
    };
    void describeModule(std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void describeFile(const Module &module, std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void keepUnpacked(const std::shared_ptr<DebugInfo> &debug);
    void nameLines(ObjectFile &file, std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void describeGo(ObjectFile &file, std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void describeKernel(std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void describeVdso(std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void describeJit(const Module &module, std::span<const Wanted> wanted, std::vector<Frame> &frames);
    void noteReplacedCode(const std::shared_ptr<JitCode> &jit);
    void noteKernelTable(const std::shared_ptr<const KernelTable> &table);
    std::shared_ptr<const SymbolTable> symbolsOf(const Module &module);
    /** Nothing where the file cannot be had any more, or has changed. */
    UniqueFd openAgain(const ObjectFile &file);
    void noteMissingDebugLocked(const std::string &buildId);
    size_t fixedBytesLocked() const;
    uint32_t kernelModuleOf(uint64_t address, uint64_t nowNs);
    uint32_t moduleIdOf(const std::shared_ptr<Module> &module, uint64_t nowNs);

    static constexpr size_t maxMissingDebug = 1024;
    static constexpr size_t maxFetchedDebug = 8192;

    const size_t maxBytes_;
    std::atomic<bool> isCancelled_{false};
    std::atomic<bool> needsMaintenance_{false};
    std::atomic<bool> hasBuilt_{false};
    KernelSymbols kernel_;
    std::shared_ptr<const SymbolTable> vdsoTable_;

    /** Guards all that follows. Never held while a file's symbols are read. */
    std::mutex mutex_;
    ModuleStore modules_;
    ProcessTable processes_;
    LocationTable locations_;
    std::shared_ptr<const KernelTable> kernelTable_;
    uint32_t kernelDynamic_ = 0;
    uint64_t kernelCheckedNs_ = 0;
    /** Those used last first: what of debug information was unpacked is kept for a few files. */
    std::deque<std::weak_ptr<DebugInfo>> unpacked_;
    bool isDebugWanted_ = false;
    std::unordered_set<std::string> missingDebug_;
    std::unordered_map<std::string, std::string> fetchedDebug_;
    /** JIT code that was located a while after it was last looked at. */
    std::vector<std::shared_ptr<JitCode>> jitsToCheck_;
};

} // namespace hotspan::symbols
