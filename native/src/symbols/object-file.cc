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
#include <unistd.h>

namespace hotspan::symbols {
namespace {

FileStatus statusOf(const struct stat &status) {
    return {
        {status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size),
         static_cast<uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(status.st_mtim.tv_nsec)},
        status.st_nlink == 0};
}

std::array<char, 96> mapFilesPath(const FileSighting &sighting) {
    std::array<char, 96> path;
    snprintf(path.data(), path.size(), "/proc/%d/map_files/%lx-%lx", sighting.pid,
             static_cast<unsigned long>(sighting.start), static_cast<unsigned long>(sighting.end));
    return path;
}

/**
 * Turns an O_PATH descriptor into one to read. O_NONBLOCK: a file with a lease gives EWOULDBLOCK instead of making us
 * wait until its holder lets go.
 */
std::optional<OpenedFile> reopen(UniqueFd location) {
    struct stat status {};
    if (!location || fstat(location.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return std::nullopt;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", location.get());
    OpenedFile file;
    file.fd = UniqueFd(open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file.fd) {
        return std::nullopt;
    }
    FileStatus found = statusOf(status);
    file.key = found.key;
    file.isDeleted = found.isDeleted;
    return file;
}

} // namespace

UniqueFd openInRootOf(int pid, const std::string &path) {
    char rootPath[64];
    snprintf(rootPath, sizeof rootPath, "/proc/%d/root", pid);
    UniqueFd root(open(rootPath, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return UniqueFd();
    }
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    // RESOLVE_IN_ROOT may say EAGAIN while something is renamed below the root.
    for (int i = 0; i < 3; i++) {
        auto fd = static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how));
        if (fd >= 0 || errno != EAGAIN) {
            return UniqueFd(fd);
        }
    }
    return UniqueFd();
}

std::optional<FileStatus> statMappedFile(const FileSighting &sighting) {
    struct stat status {};
    if (stat(mapFilesPath(sighting).data(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return std::nullopt;
    }
    return statusOf(status);
}

std::optional<OpenedFile> openMappedFile(const FileSighting &sighting) {
    if (std::optional<OpenedFile> file = reopen(UniqueFd(open(mapFilesPath(sighting).data(), O_PATH | O_CLOEXEC)))) {
        return file;
    }
    // map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. Behind the path there may be another file by now: the
    // inode tells. (The device does not: btrfs and overlayfs show another one in maps than stat does.)
    std::optional<OpenedFile> file = reopen(openInRootOf(sighting.pid, sighting.path));
    return file && file->key.inode == sighting.inode ? std::move(file) : std::nullopt;
}

std::optional<OpenedFile> openRegularFile(const char *path) {
    return reopen(UniqueFd(open(path, O_PATH | O_CLOEXEC)));
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
