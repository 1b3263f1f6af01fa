/** Opening of other processes' files. */
#include "object-file.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mount-table.h"

namespace hotspan::symbols {
namespace {

/** As stat(), from what the kernel has at hand: a file system in user space is not asked. False where it is no regular
 * file. */
bool statCached(int directory, const char *path, int flags, FileStatus &file, uint32_t (&device)[2]) {
    struct statx status {};
    if (statx(directory, path, flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) != 0 ||
        !S_ISREG(status.stx_mode)) {
        return false;
    }
    file.key = {makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino, status.stx_size,
                static_cast<uint64_t>(status.stx_mtime.tv_sec) * 1'000'000'000 + status.stx_mtime.tv_nsec};
    file.isDeleted = status.stx_nlink == 0;
    device[0] = status.stx_dev_major;
    device[1] = status.stx_dev_minor;
    return true;
}

std::array<char, 96> mapFilesPath(const FileSighting &sighting) {
    std::array<char, 96> path;
    snprintf(path.data(), path.size(), "/proc/%d/map_files/%lx-%lx", sighting.pid,
             static_cast<unsigned long>(sighting.start), static_cast<unsigned long>(sighting.end));
    return path;
}

/**
 * Turns an O_PATH descriptor into one to read, unless the file is one of a file system in user space. O_NONBLOCK: a
 * file with a lease gives EWOULDBLOCK instead of making us wait until its holder lets go.
 */
std::optional<OpenedFile> reopen(int pid, UniqueFd location) {
    FileStatus found;
    uint32_t device[2];
    if (!location || !statCached(location.get(), "", AT_EMPTY_PATH, found, device) ||
        isFuseDevice(pid, device[0], device[1])) {
        return std::nullopt;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", location.get());
    OpenedFile file;
    file.fd = UniqueFd(open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file.fd) {
        return std::nullopt;
    }
    file.key = found.key;
    file.isDeleted = found.isDeleted;
    return file;
}

} // namespace

UniqueFd openInRootOf(int pid, const std::string &path) {
    char rootPath[64];
    snprintf(rootPath, sizeof rootPath, "/proc/%d/root", pid);
    UniqueFd root(open(rootPath, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root || isBelowFuse(pid, path)) {
        return UniqueFd();
    }
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = O_PATH | O_CLOEXEC;
    // From 5.12 on the kernel can look up what it knows already without asking any file system. EAGAIN: it does not
    // know it, or something was renamed meanwhile; EINVAL: it is older. Then links could lead to a file system in user
    // space.
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED;
    for (int i = 0; i < 4; i++) {
        auto fd = static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINVAL) || hasFuse(pid)) {
            return UniqueFd(fd);
        }
        how.resolve &= ~uint64_t{RESOLVE_CACHED};
    }
    return UniqueFd();
}

std::optional<OpenedFile> openFileInRootOf(int pid, const std::string &path) {
    return reopen(pid, openInRootOf(pid, path));
}

std::optional<FileStatus> statMappedFile(const FileSighting &sighting) {
    FileStatus file;
    uint32_t device[2];
    bool isFile = statCached(AT_FDCWD, mapFilesPath(sighting).data(), 0, file, device);
    return isFile ? std::optional(file) : std::nullopt;
}

UniqueFd locateMappedFile(const FileSighting &sighting) {
    return UniqueFd(open(mapFilesPath(sighting).data(), O_PATH | O_CLOEXEC));
}

std::optional<OpenedFile> openLocated(int pid, UniqueFd location) {
    return reopen(pid, std::move(location));
}

std::optional<OpenedFile> openMappedFile(const FileSighting &sighting) {
    if (std::optional<OpenedFile> file = reopen(sighting.pid, locateMappedFile(sighting))) {
        return file;
    }
    // map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. Behind the path there may be another file by now: the
    // inode tells. (The device does not: btrfs and overlayfs show another one in maps than stat does.)
    std::optional<OpenedFile> file = openFileInRootOf(sighting.pid, sighting.path);
    return file && file->key.inode == sighting.inode ? std::move(file) : std::nullopt;
}

std::optional<OpenedFile> openRegularFile(int pid, const char *path) {
    return reopen(pid, UniqueFd(open(path, O_PATH | O_CLOEXEC)));
}

const std::string &ObjectFile::buildId() const {
    static const std::string none;
    return elf ? elf->buildId() : none;
}

std::string ObjectFile::contentKey() const {
    // A build id alone is not proof: anyone can write one into a file. Size and headers have to agree too.
    if (!elf || elf->buildId().size() < 16) {
        return {};
    }
    return elf->buildId() + ":" + std::to_string(key.sizeBytes) + ":" + std::to_string(elf->headerHash());
}

} // namespace hotspan::symbols
