/** Finding, opening and reading of a process's perf-map and jitdump. */
#include "jit-code.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>

#include "clock.h"
#include "proc-maps.h"

namespace hotspan::symbols {
namespace {

// Enough to notice that names have come; which addresses they are does not matter.
constexpr size_t maxUnnamed = 256;

/** Only the process's own user (or root) can say what the process's code is called. */
bool isOwnFile(int pid, int fd) {
    char process[32];
    snprintf(process, sizeof process, "/proc/%d", pid);
    struct stat file {
    }, owner{};
    return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && stat(process, &owner) == 0 &&
           (file.st_uid == owner.st_uid || file.st_uid == 0);
}

} // namespace

Runtime runtimeOf(std::string_view executablePath) {
    std::string_view name = baseName(executablePath);
    if (name == "node" || name == "nodejs" || name == "deno" || name == "electron" || name == "chrome" ||
        name == "chromium") {
        return Runtime::node;
    }
    if (name == "java") {
        return Runtime::jvm;
    }
    return name.starts_with("python") || name.starts_with("pypy") ? Runtime::python : Runtime::unknown;
}

JitCode::JitCode(int pid, uint64_t startTicks, Runtime runtime)
    : pid_(pid), startTicks_(startTicks), runtime_(runtime) {
    dump_.setV8(runtime == Runtime::node);
}

void JitCode::open() {
    std::lock_guard lock(mutex_);
    openLocked();
}

void JitCode::noteDump(const FileSighting &sighting) {
    std::lock_guard lock(mutex_);
    if (dumpSighting_.pid == 0) {
        dumpSighting_ = sighting;
        openTriedNs_ = 0;
        openLocked();
    }
}

void JitCode::openLocked() {
    uint64_t now = coarseNs();
    bool isAllOpen = fd_ && (dumpFd_ || dumpSighting_.pid == 0);
    if (isAllOpen || isReleased_ || (openTriedNs_ != 0 && now - openTriedNs_ < nsPerS)) {
        return;
    }
    openTriedNs_ = now;
    UniqueFd map = fd_ ? UniqueFd() : openMap();
    UniqueFd dump = dumpFd_ || dumpSighting_.pid == 0 ? UniqueFd() : openDump();
    // After the opening: a pid that was given anew in between is another process's.
    if ((map || dump) && readStartTicks(pid_) == startTicks_) {
        fd_ = map ? std::move(map) : std::move(fd_);
        dumpFd_ = dump ? std::move(dump) : std::move(dumpFd_);
    }
}

UniqueFd JitCode::openMap() const {
    int inner = readNamespacePid(pid_);
    if (inner <= 0) {
        return UniqueFd();
    }
    char name[64];
    snprintf(name, sizeof name, "/tmp/perf-%d.map", inner);
    UniqueFd location = openInRootOf(pid_, name);
    // Anyone may write to /tmp.
    if (!location || !isOwnFile(pid_, location.get())) {
        return UniqueFd();
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", location.get());
    return UniqueFd(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

UniqueFd JitCode::openDump() const {
    std::optional<OpenedFile> file = openMappedFile(dumpSighting_);
    return file && isOwnFile(pid_, file->fd.get()) ? std::move(file->fd) : UniqueFd();
}

bool JitCode::updateLocked(bool isUrgent) {
    openLocked();
    uint64_t now = coarseNs();
    bool isDue = now >= nextUpdateNs_ || (isUrgent && updateCostNs_ < nsPerMs);
    if ((!fd_ && !dumpFd_) || !isDue) {
        return false;
    }
    uint64_t begin = monotonicNs();
    bool isChanged = fd_ && map_.update(fd_.get());
    isChanged = (dumpFd_ && dump_.update(ByteSource::ofFile(dumpFd_.get()))) || isChanged;
    // At most a twentieth of the time, should the process write without end.
    updateCostNs_ = monotonicNs() - begin;
    nextUpdateNs_ = now + std::max(20 * nsPerMs, 20 * updateCostNs_);
    bytes_.store(map_.bytes() + dump_.bytes(), std::memory_order_relaxed);
    size_t before = unnamed_.size();
    std::erase_if(unnamed_, [this](uint64_t address) { return hasNameLocked(address); });
    return isChanged || unnamed_.size() < before;
}

bool JitCode::refresh() {
    std::lock_guard lock(mutex_);
    return updateLocked(false);
}

JitCode::Name JitCode::find(uint64_t address) {
    std::lock_guard lock(mutex_);
    Name result;
    // A name that is not there may have come just now; of a process that has ended it is asked for only once.
    result.isChanged = updateLocked(false);
    result.isChanged = (!hasNameLocked(address) && updateLocked(true)) || result.isChanged;
    result.hasNames = map_.size() > 0 || dump_.size() > 0;
    // A jitdump says more than a perf-map, where an engine writes both.
    if (std::optional<JitDump::Match> match = dump_.find(address)) {
        result.raw = std::string(match->name);
        result.file = std::string(match->file);
        result.line = match->line;
    } else if (std::optional<std::string_view> name = map_.find(address)) {
        result.raw = std::string(*name);
    } else if (unnamed_.size() < maxUnnamed) {
        unnamed_.push_back(address);
    }
    return result;
}

void JitCode::release() {
    std::lock_guard lock(mutex_);
    isReleased_ = true;
    fd_.reset();
    dumpFd_.reset();
    map_ = PerfMap();
    dump_ = JitDump();
    unnamed_ = {};
    bytes_.store(0, std::memory_order_relaxed);
}

} // namespace hotspan::symbols
