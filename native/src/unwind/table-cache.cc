/** The directory of tables. */
#include "table-cache.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "../symbols/byte-source.h"

namespace hotspan::unwind {
namespace {

constexpr const char *suffix = ".table";
constexpr const char *unfinished = ".part";
// A writer that takes longer than this has died.
constexpr time_t maxWritingS = 600;
// Files take whole blocks of the disk.
constexpr uint64_t blockBytes = 4096;

struct CachedFile {
    std::string path;
    timespec used;
    uint64_t sizeBytes;
};

uint64_t onDisk(uint64_t sizeBytes) {
    return (sizeBytes + blockBytes - 1) / blockBytes * blockBytes;
}

uint64_t fnv1a(uint64_t hash, const std::string &text) {
    for (char letter : text) {
        hash = (hash ^ static_cast<uint8_t>(letter)) * 0x100000001b3ULL;
    }
    return hash;
}

/** Tables in the directory. What a dead writer left is removed. Other files are not ours, and stay. */
std::vector<CachedFile> listTables(const std::string &directory) {
    std::vector<CachedFile> files;
    DIR *dir = opendir(directory.c_str());
    if (dir == nullptr) {
        return files;
    }
    while (const dirent *entry = readdir(dir)) {
        std::string name = entry->d_name;
        struct stat status {};
        if (fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) {
            continue;
        }
        if (name.ends_with(suffix)) {
            files.push_back({directory + "/" + name, status.st_mtim, onDisk(static_cast<uint64_t>(status.st_size))});
        } else if (name.ends_with(unfinished) && status.st_mtim.tv_sec + maxWritingS < time(nullptr)) {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
    return files;
}

bool writeAll(int fd, const std::string &bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
        ssize_t count = write(fd, bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        done += static_cast<size_t>(count);
    }
    return true;
}

} // namespace

std::string TableCache::pathOf(const std::string &key) const {
    // Two hashes of 64 bits. The key itself stands in the file.
    char name[40];
    snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64, fnv1a(0xcbf29ce484222325ULL, key),
             fnv1a(0x84222325cbf29ce4ULL, key));
    return directory_ + "/" + name;
}

std::optional<UnwindTable> TableCache::load(const std::string &key) {
    if (directory_.empty()) {
        return std::nullopt;
    }
    std::string path = pathOf(key) + suffix;
    symbols::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) {
        return std::nullopt;
    }
    symbols::ByteSource source = symbols::ByteSource::ofFile(fd.get());
    // Names are short; what is larger is no table of ours.
    if (source.sizeBytes() > maxTableBytes + (1 << 20)) {
        return std::nullopt;
    }
    std::vector<uint8_t> bytes(static_cast<size_t>(source.sizeBytes()));
    bytes.resize(source.readSome(0, bytes.data(), bytes.size()));
    std::optional<UnwindTable> table = parseTable(key, bytes.data(), bytes.size());
    if (table) {
        // Time of change stands for time of use: access times are off on many hosts.
        futimens(fd.get(), nullptr);
    }
    return table;
}

void TableCache::makeRoom(uint64_t wanted) {
    if (usedBytes_ && *usedBytes_ + wanted <= maxBytes_) {
        return;
    }
    std::vector<CachedFile> files = listTables(directory_);
    std::sort(files.begin(), files.end(), [](const CachedFile &a, const CachedFile &b) {
        return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec : a.used.tv_nsec < b.used.tv_nsec;
    });
    uint64_t used = 0;
    for (const CachedFile &file : files) {
        used += file.sizeBytes;
    }
    for (size_t i = 0; i < files.size() && used + wanted > maxBytes_; i++) {
        unlink(files[i].path.c_str());
        used -= files[i].sizeBytes;
    }
    usedBytes_ = used;
}

bool TableCache::store(const std::string &key, const UnwindTable &table) {
    if (directory_.empty() || !table.hasRules()) {
        return false;
    }
    std::string bytes = serializeTable(key, table);
    uint64_t wanted = onDisk(bytes.size());
    if (wanted > maxBytes_) {
        return false;
    }
    mkdir(directory_.c_str(), 0700);
    makeRoom(wanted);
    std::string path = pathOf(key);
    std::string aside = path + "." + std::to_string(getpid()) + unfinished;
    symbols::UniqueFd fd(open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) {
        return false;
    }
    bool isWritten = writeAll(fd.get(), bytes) && rename(aside.c_str(), (path + suffix).c_str()) == 0;
    if (!isWritten) {
        unlink(aside.c_str());
        return false;
    }
    usedBytes_ = usedBytes_.value_or(0) + wanted;
    return true;
}

} // namespace hotspan::unwind
