/** Telling files apart. */
#include "code-file.h"

#include <algorithm>

#include "../symbols/clock.h"

namespace hotspan::unwind {
namespace {

// Mapped files that nobody uses now; compilers and shells come again soon.
constexpr size_t maxUnusedFiles = 2048;
// Of all mapped files. A busy container host has about 2,000.
constexpr size_t maxFiles = 16384;
// Paths of all of them; an ordinary one has 60 bytes, and one of 4,096 is made on purpose.
constexpr size_t maxPathBytes = 4U << 20;
// Files that wait to be read are held, so that they can be when their process is gone.
constexpr size_t maxHeldLocations = 256;
// How long a file is taken to be as it was when it is mapped again. A file of which code is mapped is seldom written
// to.
constexpr uint64_t checkIntervalNs = symbols::nsPerS;

} // namespace

bool isAnonymousCode(const std::string &path) {
    return path.empty() || path[0] != '/' || path.starts_with("//") || path.starts_with("/dev/zero") ||
           path.starts_with("/SYSV") || path.starts_with("/anon_hugepage");
}

CodeFiles::CodeFiles() : vdso_(std::make_shared<CodeFile>()), beyond_(std::make_shared<CodeFile>()) {
    vdso_->isVdso = true;
    vdso_->sighting.path = "[vdso]";
    beyond_->isRead = true;
    beyond_->isQueued = true;
    beyond_->table = std::make_shared<PlacedTable>();
    beyond_->table->state = PlacedTable::State::noRoom;
}

symbols::UniqueFd CodeFiles::takeLocation(CodeFile &file) {
    heldLocations_ -= file.location ? 1 : 0;
    return std::move(file.location);
}

std::shared_ptr<CodeFile> CodeFiles::of(const FileMapping &mapping, uint64_t nowNs) {
    if (mapping.path == "[vdso]") {
        return vdso_;
    }
    if (isAnonymousCode(mapping.path)) {
        return nullptr;
    }
    Id id{mapping.inode, uint64_t{mapping.deviceMajor} << 32 | mapping.deviceMinor};
    auto isFull = [this] { return files_.size() >= maxFiles || pathBytes_ >= maxPathBytes; };
    if (isFull() && !files_.contains(id)) {
        forgetUnused();
        if (isFull()) {
            return beyond_;
        }
    }
    std::shared_ptr<CodeFile> &file = files_[id];
    if (file && nowNs < file->checkedNs + checkIntervalNs) {
        file->seenNs = nowNs;
        return file;
    }
    symbols::FileSighting sighting{mapping.pid, mapping.start, mapping.end, mapping.inode, mapping.path};
    std::optional<symbols::FileStatus> status = symbols::statMappedFile(sighting);
    // Where the process is gone already, the same file still is the likeliest.
    if (!file || (status && file->key && !(*file->key == status->key))) {
        if (file) {
            takeLocation(*file);
            pathBytes_ -= file->sighting.path.size();
        }
        file = std::make_shared<CodeFile>();
        pathBytes_ += mapping.path.size();
        file->deviceMajor = mapping.deviceMajor;
        file->deviceMinor = mapping.deviceMinor;
        file->inode = mapping.inode;
        file->parentPid = mapping.parentPid;
        file->sighting = sighting;
        if (heldLocations_ < maxHeldLocations) {
            file->location = symbols::locateMappedFile(sighting);
            heldLocations_ += file->location ? 1 : 0;
        }
    }
    if (status) {
        file->key = status->key;
    }
    file->checkedNs = nowNs;
    file->seenNs = nowNs;
    return file;
}

void CodeFiles::forgetUnused() {
    std::vector<std::pair<uint64_t, Id>> unused;
    for (const auto &[id, file] : files_) {
        if (file.use_count() == 1) {
            unused.emplace_back(file->seenNs, id);
        }
    }
    if (unused.size() <= maxUnusedFiles) {
        return;
    }
    std::sort(unused.begin(), unused.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    for (size_t i = 0; i < unused.size() - maxUnusedFiles / 2; i++) {
        auto file = files_.find(unused[i].second);
        takeLocation(*file->second);
        pathBytes_ -= file->second->sighting.path.size();
        files_.erase(file);
    }
}

} // namespace hotspan::unwind
