/** Lays out a process's mappings and tables for the walk; see stopped-process.h. */
#include "stopped-process.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
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

bool isSame(const symbols::Mapping &a, const symbols::Mapping &b) {
    return a.start == b.start && a.end == b.end && a.fileOffset == b.fileOffset && a.inode == b.inode;
}

} // namespace

StoppedProcess::StoppedProcess(MappedFiles &files, int pid)
    : files_(files), pid_(pid), memory_(open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC)) {
}

bool StoppedProcess::read(uint64_t address, void *to, size_t sizeBytes) {
    return pread(memory_.get(), to, sizeBytes, static_cast<off_t>(address)) == static_cast<ssize_t>(sizeBytes);
}

const MappedFile *StoppedProcess::fileOf(const symbols::Mapping &mapping) {
    const std::string &path = maps_.paths[mapping.path];
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
        std::vector<uint8_t> bytes(mapping.end - mapping.start);
        if (read(mapping.start, bytes.data(), bytes.size())) {
            file = readFile(symbols::ByteSource::ofMemory(bytes.data(), bytes.size()), path);
        }
    } else {
        char link[96];
        snprintf(link, sizeof link, "/proc/%d/map_files/%lx-%lx", pid_, mapping.start, mapping.end);
        symbols::UniqueFd fd(open(link, O_RDONLY | O_CLOEXEC));
        if (fd) {
            file = readFile(symbols::ByteSource::ofFile(fd.get()), path);
        }
    }
    return file.get();
}

StoppedProcess::Laid StoppedProcess::layOut(const symbols::Mapping &mapping) {
    Laid laid = {};
    laid.mapping.start = mapping.start;
    laid.mapping.end = mapping.end;
    laid.file = fileOf(mapping);
    if (laid.file == nullptr) {
        laid.mapping.kind = UNWIND_MAPPING_JIT;
        return laid;
    }
    laid.mapping.bias = mapping.start - laid.file->elf.addressOf(mapping.fileOffset).value_or(0);
    laid.mapping.kind = laid.file->table.hasRules() ? UNWIND_MAPPING_TABLE : UNWIND_MAPPING_FRAME_POINTER;
    return laid;
}

bool StoppedProcess::refresh() {
    std::optional<symbols::Mappings> maps = symbols::readMappings(pid_, 1 << 20);
    if (!maps) {
        return false;
    }
    // The vsyscall page lies outside the half of addresses that is user space's; the walk knows it by itself.
    std::erase_if(maps->mappings, [](const symbols::Mapping &mapping) { return mapping.start >> 63 != 0; });
    bool isKnown =
        std::equal(maps->mappings.begin(), maps->mappings.end(), maps_.mappings.begin(), maps_.mappings.end(), isSame);
    if (isKnown) {
        return true;
    }
    maps_ = std::move(*maps);
    image_ = std::make_unique<TableImage>();
    laid_.clear();
    for (const symbols::Mapping &mapping : maps_.mappings) {
        laid_.push_back(layOut(mapping));
        const MappedFile *file = laid_.back().file;
        image_->map(laid_.back().mapping, file ? &file->table : nullptr);
    }
    return true;
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

} // namespace hotspan::unwind
