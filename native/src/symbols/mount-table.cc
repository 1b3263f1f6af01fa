/** Reading of /proc/PID/mountinfo. */
#include "mount-table.h"

#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include "byte-source.h"

namespace hotspan::symbols {
namespace {

// fs.mount-max is 100,000 mounts by default, about 15 MB; container hosts have some thousands at most.
constexpr size_t maxBytes = 4U << 20;

std::string_view takeField(std::string_view &line) {
    size_t end = line.find(' ');
    std::string_view field = line.substr(0, end);
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    return field;
}

/** Not "fusectl", which is the kernel's own. */
bool isFuse(const MountLine &mount) {
    return mount.fileSystem == "fuse" || mount.fileSystem == "fuseblk" || mount.fileSystem.starts_with("fuse.");
}

/** Calls `visit` for each mount until it returns true; false where none did and the table was read to its end. */
template <typename Visit> bool anyMount(int pid, Visit visit) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mountinfo", pid);
    UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
    std::string text;
    char buffer[16384];
    size_t total = 0;
    for (ssize_t got; fd && (got = read(fd.get(), buffer, sizeof buffer)) > 0;) {
        total += static_cast<size_t>(got);
        if (total > maxBytes) {
            return true;
        }
        text.append(buffer, static_cast<size_t>(got));
        size_t begin = 0;
        for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
            MountLine mount;
            if (parseMountLine(std::string_view(text).substr(begin, end - begin), mount) && visit(mount)) {
                return true;
            }
        }
        text.erase(0, begin);
    }
    return false;
}

} // namespace

bool parseMountLine(std::string_view line, MountLine &mount) {
    takeField(line);
    takeField(line);
    std::string_view device = takeField(line);
    takeField(line);
    mount.mountPoint = takeField(line);
    auto major = std::from_chars(device.data(), device.data() + device.size(), mount.deviceMajor);
    if (major.ec != std::errc{} || major.ptr == device.data() + device.size() || *major.ptr != ':') {
        return false;
    }
    auto minor = std::from_chars(major.ptr + 1, device.data() + device.size(), mount.deviceMinor);
    // proc(5): any number of optional fields, then a hyphen, then the file system's type.
    size_t separator = line.find(" - ");
    if (minor.ec != std::errc{} || separator == std::string_view::npos) {
        return false;
    }
    line.remove_prefix(separator + 3);
    mount.fileSystem = takeField(line);
    return !mount.fileSystem.empty();
}

bool isFuseDevice(int pid, uint32_t deviceMajor, uint32_t deviceMinor) {
    // FUSE has no block device but for fuseblk, which only root can mount.
    return deviceMajor == 0 && anyMount(pid, [&](const MountLine &mount) {
               return mount.deviceMajor == 0 && mount.deviceMinor == deviceMinor && isFuse(mount);
           });
}

bool hasFuse(int pid) {
    return anyMount(pid, isFuse);
}

bool isBelowFuse(int pid, std::string_view path) {
    return anyMount(pid, [&](const MountLine &mount) {
        std::string_view point = mount.mountPoint;
        return isFuse(mount) && path.starts_with(point) &&
               (point == "/" || path.size() == point.size() || path[point.size()] == '/');
    });
}

} // namespace hotspan::symbols
