/** Lays out a process's mappings and tables for the walk; see stopped-process.h. */
#include "stopped-process.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hotspan::unwind {
namespace {

std::unique_ptr<MappedFile> readFile(const symbols::ByteSource &source, const std::string &path) {
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    if (!elf) {
        return nullptr;
    }
    std::string problem;
    std::optional<UnwindTable> table = buildUnwindTable(source, *elf, problem);
    if (!problem.empty()) {
        fprintf(stderr, "walk-stopped: %s: %s\n", path.c_str(), problem.c_str());
    }
    return table ? std::make_unique<MappedFile>(MappedFile{*elf, std::move(*table)}) : nullptr;
}

/** What the kernel gives is a page or two. */
constexpr uint64_t maxVdsoBytes = 1U << 20;

symbols::UniqueFd openRegular(const std::string &path) {
    struct stat status {};
    bool isRegular = stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
    return symbols::UniqueFd(isRegular ? open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1);
}

bool isSame(const symbols::Mapping &a, const symbols::Mapping &b) {
    return a.start == b.start && a.end == b.end && a.fileOffset == b.fileOffset && a.inode == b.inode;
}

} // namespace

const MappedFile *StoppedProcess::fileOf(const symbols::Mapping &mapping, const std::string &path) {
    if (path != "[vdso]" && mapping.inode == 0) {
        return nullptr;
    }
    std::string key = path + " " + std::to_string(mapping.inode);
    auto known = files_.find(key);
    if (known != files_.end()) {
        return known->second.get();
    }
    std::unique_ptr<MappedFile> &file = files_[key];
    if (path == "[vdso]") {
        std::vector<uint8_t> bytes(std::min(mapping.end - mapping.start, maxVdsoBytes));
        if (read(mapping.start, bytes.data(), bytes.size())) {
            file = readFile(symbols::ByteSource::ofMemory(bytes.data(), bytes.size()), path);
        }
    } else if (symbols::UniqueFd fd = openFile(mapping, path)) {
        file = readFile(symbols::ByteSource::ofFile(fd.get()), path);
    }
    return file.get();
}

StoppedProcess::Laid StoppedProcess::layOutOne(const symbols::Mapping &mapping) {
    Laid laid = {};
    laid.mapping.start = mapping.start;
    laid.mapping.end = mapping.end;
    laid.file = fileOf(mapping, maps_.paths[mapping.path]);
    if (laid.file == nullptr) {
        laid.mapping.kind = UNWIND_MAPPING_JIT;
        return laid;
    }
    laid.mapping.bias = mapping.start - laid.file->elf.addressOf(mapping.fileOffset).value_or(0);
    laid.mapping.kind = laid.file->table.hasRules() ? UNWIND_MAPPING_TABLE : UNWIND_MAPPING_FRAME_POINTER;
    return laid;
}

void StoppedProcess::layOut(symbols::Mappings maps) {
    bool isKnown =
        std::equal(maps.mappings.begin(), maps.mappings.end(), maps_.mappings.begin(), maps_.mappings.end(), isSame);
    if (isKnown) {
        return;
    }
    maps_ = std::move(maps);
    image_ = std::make_unique<TableImage>();
    laid_.clear();
    for (const symbols::Mapping &mapping : maps_.mappings) {
        laid_.push_back(layOutOne(mapping));
        const MappedFile *file = laid_.back().file;
        image_->map(laid_.back().mapping, file ? &file->table : nullptr);
    }
}

StoppedProcess::Code StoppedProcess::find(uint64_t address) const {
    for (size_t i = 0; i < laid_.size(); i++) {
        const unwind_mapping &mapping = laid_[i].mapping;
        if (address >= mapping.start && address < mapping.end) {
            const MappedFile *file = laid_[i].file;
            return {file, maps_.paths[maps_.mappings[i].path], file ? address - mapping.bias : 0};
        }
    }
    return {};
}

LiveProcess::LiveProcess(MappedFiles &files, int pid)
    : StoppedProcess(files), pid_(pid),
      memory_(open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC)) {}

bool LiveProcess::read(uint64_t address, void *to, size_t sizeBytes) {
    return pread(memory_.get(), to, sizeBytes, static_cast<off_t>(address)) == static_cast<ssize_t>(sizeBytes);
}

symbols::UniqueFd LiveProcess::openFile(const symbols::Mapping &mapping, const std::string &) {
    char link[96];
    snprintf(link, sizeof link, "/proc/%d/map_files/%lx-%lx", pid_, mapping.start, mapping.end);
    return symbols::UniqueFd(open(link, O_RDONLY | O_CLOEXEC));
}

std::string LiveProcess::refresh() {
    std::optional<symbols::Mappings> maps = symbols::readMappings(pid_, 1 << 20);
    if (!maps) {
        return "its mappings cannot be read";
    }
    // The vsyscall page lies outside the half of addresses that is user space's; the walk knows it by itself.
    std::erase_if(maps->mappings, [](const symbols::Mapping &mapping) { return mapping.start >> 63 != 0; });
    layOut(std::move(*maps));
    return "";
}

size_t CoreProcess::readSome(uint64_t address, void *to, size_t sizeBytes) {
    const CoreSegment *segment = core_.segmentAt(address);
    if (segment != nullptr && address - segment->start < segment->fileSizeBytes) {
        uint64_t at = address - segment->start;
        return bytes_.readSome(segment->fileOffset + at, to, std::min(sizeBytes, segment->fileSizeBytes - at));
    }
    const CoreMapping *mapping = core_.mappingAt(address);
    if (mapping == nullptr) {
        return 0;
    }
    // What a process did not change, a core leaves to the file.
    auto [file, isNew] = left_.try_emplace(mapping->path);
    if (isNew) {
        file->second = openRegular(mapping->path);
    }
    const uint64_t offset = mapping->fileOffset + (address - mapping->start);
    const size_t wanted = std::min<uint64_t>(sizeBytes, mapping->end - address);
    return file->second ? symbols::ByteSource::ofFile(file->second.get()).readSome(offset, to, wanted) : 0;
}

bool CoreProcess::read(uint64_t address, void *to, size_t sizeBytes) {
    size_t done = 0;
    while (done < sizeBytes) {
        size_t got = readSome(address + done, static_cast<uint8_t *>(to) + done, sizeBytes - done);
        if (got == 0) {
            return false;
        }
        done += got;
    }
    return true;
}

symbols::UniqueFd CoreProcess::openFile(const symbols::Mapping &, const std::string &path) {
    return openRegular(path);
}

/** Adds it if it is executable: as its segment says, or its file where the core left the segment out. */
void CoreProcess::addMapping(symbols::Mappings &maps, const CoreMapping &from) {
    symbols::Mapping mapping;
    mapping.start = from.start;
    mapping.end = from.end;
    mapping.fileOffset = from.fileOffset;
    mapping.path = static_cast<uint32_t>(maps.paths.size());
    struct stat status {};
    if (stat(from.path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
        mapping.inode = status.st_ino;
    }
    bool isExecutable = false;
    if (const CoreSegment *segment = core_.segmentAt(from.start)) {
        isExecutable = segment->isExecutable;
    } else if (const MappedFile *file = fileOf(mapping, from.path)) {
        isExecutable = std::ranges::any_of(file->elf.segments(), [&](const symbols::Segment &segment) {
            return segment.isExecutable && from.fileOffset < segment.fileOffset + segment.fileSizeBytes &&
                   segment.fileOffset < from.fileOffset + (from.end - from.start);
        });
    }
    if (isExecutable) {
        maps.mappings.push_back(mapping);
        maps.paths.push_back(from.path);
    }
}

std::string CoreProcess::refresh() {
    left_.clear();
    core_ = {};
    file_ = openRegular(path_);
    if (!file_) {
        return "it is no file that can be opened";
    }
    bytes_ = symbols::ByteSource::ofFile(file_.get());
    std::string problem;
    std::optional<CoreFile> core = CoreFile::read(bytes_, problem);
    if (!core) {
        return problem;
    }
    core_ = std::move(*core);
    symbols::Mappings maps;
    for (const CoreMapping &mapping : core_.mappings) {
        addMapping(maps, mapping);
    }
    for (const CoreSegment &segment : core_.segments) {
        if (segment.isExecutable && core_.mappingAt(segment.start) == nullptr) {
            addMapping(maps, {segment.start, segment.end, 0, segment.start == core_.vdsoAddress ? "[vdso]" : ""});
        }
    }
    std::ranges::sort(maps.mappings, {}, &symbols::Mapping::start);
    layOut(std::move(maps));
    return "";
}

} // namespace hotspan::unwind
