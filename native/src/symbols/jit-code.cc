/** Finding, opening and reading of a process's perf-map. */
#include "jit-code.h"

#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>

#include "clock.h"
#include "object-file.h"
#include "proc-maps.h"

namespace hotspan::symbols {
namespace {

// Enough to notice that names have come; which addresses they are does not matter.
constexpr size_t maxUnnamed = 256;

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

void JitCode::open() {
    std::lock_guard lock(mutex_);
    openLocked();
}

void JitCode::openLocked() {
    uint64_t now = coarseNs();
    if (fd_ || isReleased_ || (openTriedNs_ != 0 && now - openTriedNs_ < nsPerS)) {
        return;
    }
    openTriedNs_ = now;
    int inner = readNamespacePid(pid_);
    if (inner <= 0) {
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "/tmp/perf-%d.map", inner);
    UniqueFd location = openInRootOf(pid_, name);
    char process[32];
    snprintf(process, sizeof process, "/proc/%d", pid_);
    struct stat file {
    }, owner{};
    // Anyone may write to /tmp. Only the process's own user (or root) can say what the process's code is called.
    if (!location || fstat(location.get(), &file) != 0 || !S_ISREG(file.st_mode) || stat(process, &owner) != 0 ||
        (file.st_uid != owner.st_uid && file.st_uid != 0)) {
        return;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", location.get());
    UniqueFd fd(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    // After the opening: a pid that was given anew in between is another process's.
    if (readStartTicks(pid_) == startTicks_) {
        fd_ = std::move(fd);
    }
}

bool JitCode::updateLocked() {
    openLocked();
    uint64_t now = coarseNs();
    if (!fd_ || (updatedNs_ != 0 && now - updatedNs_ < 20 * nsPerMs)) {
        return false;
    }
    updatedNs_ = now;
    bool isChanged = map_.update(fd_.get());
    bytes_.store(map_.bytes(), std::memory_order_relaxed);
    size_t before = unnamed_.size();
    std::erase_if(unnamed_, [this](uint64_t address) { return map_.find(address).has_value(); });
    return isChanged || unnamed_.size() < before;
}

bool JitCode::refresh() {
    std::lock_guard lock(mutex_);
    return updateLocked();
}

JitCode::Name JitCode::find(uint64_t address) {
    std::lock_guard lock(mutex_);
    Name result;
    result.isChanged = updateLocked();
    result.hasPerfMap = map_.size() > 0;
    if (std::optional<std::string_view> name = map_.find(address)) {
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
    map_ = PerfMap();
    unnamed_ = {};
    bytes_.store(0, std::memory_order_relaxed);
}

} // namespace hotspan::symbols
