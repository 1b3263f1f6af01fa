/** Reading of core files; see core-file.h. */
#include "core-file.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <sys/procfs.h>

namespace hotspan::unwind {
namespace {

/** Linux allows a process 65,530 mappings unless it is told otherwise; one that has ten times as many is no test. */
constexpr uint64_t maxSegments = 1U << 19;
/** 128 KiB of environment, 64 KiB of mappings and 4 KiB for each of a thousand threads are far less. */
constexpr uint64_t maxNoteBytes = 64U << 20;
constexpr size_t maxThreads = 1U << 15;

/** user_regs_struct's places of the registers, by DWARF number (System V ABI for x86-64, figure 3.36). */
constexpr size_t places[16] = {10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0};
constexpr size_t ipPlace = 16;

class Reader {
  public:
    explicit Reader(const symbols::ByteSource &source) : source_(source) {}

    /** Empty where all went well. */
    std::string read();
    CoreFile take() { return std::move(core_); }

  private:
    std::string readHeader();
    std::string readSegments();
    std::string readNotes(const Elf64_Phdr &header);
    std::string readNote(uint32_t type, const uint8_t *bytes, size_t sizeBytes);
    std::string readThread(const uint8_t *bytes, size_t sizeBytes);
    std::string readMappings(const uint8_t *bytes, size_t sizeBytes);
    void readAuxiliary(const uint8_t *bytes, size_t sizeBytes);

    const symbols::ByteSource &source_;
    Elf64_Ehdr header_ = {};
    uint64_t segmentCount_ = 0;
    CoreFile core_;
};

std::string Reader::readHeader() {
    if (!source_.readAt(0, &header_, sizeof header_) || memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0) {
        return "it is no ELF file";
    }
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB ||
        header_.e_machine != EM_X86_64) {
        return "it is not of an x86-64 process";
    }
    if (header_.e_type != ET_CORE) {
        return "it is an ELF file, but no core";
    }
    if (header_.e_phentsize != sizeof(Elf64_Phdr)) {
        return "its program headers are of an unknown size";
    }
    segmentCount_ = header_.e_phnum;
    if (segmentCount_ == PN_XNUM) {
        // More than the field holds: the first section header tells (gABI, "ELF Header").
        Elf64_Shdr first = {};
        if (!source_.readAt(header_.e_shoff, &first, sizeof first)) {
            return "its number of program headers cannot be read";
        }
        segmentCount_ = first.sh_info;
    }
    return segmentCount_ == 0 || segmentCount_ > maxSegments ? "it has no program headers, or too many" : "";
}

std::string Reader::readSegments() {
    std::vector<Elf64_Phdr> headers(segmentCount_);
    if (!source_.readAt(header_.e_phoff, headers.data(), headers.size() * sizeof(Elf64_Phdr))) {
        return "its program headers lie outside of it";
    }
    for (const Elf64_Phdr &header : headers) {
        if (header.p_type == PT_NOTE) {
            std::string problem = readNotes(header);
            if (!problem.empty()) {
                return problem;
            }
        }
        // The vsyscall page lies outside the half of addresses that is user space's; the walk knows it by itself.
        if (header.p_type != PT_LOAD || header.p_vaddr >> 63 != 0 || header.p_memsz == 0) {
            continue;
        }
        if (header.p_memsz > UINT64_MAX / 2 - header.p_vaddr || header.p_filesz > header.p_memsz) {
            return "a segment of it has an impossible size";
        }
        if (header.p_offset > source_.sizeBytes() || header.p_filesz > source_.sizeBytes() - header.p_offset) {
            return "it was cut short: a segment lies outside of it";
        }
        core_.segments.push_back({header.p_vaddr, header.p_vaddr + header.p_memsz, header.p_offset, header.p_filesz,
                                  (header.p_flags & PF_X) != 0});
    }
    return "";
}

std::string Reader::readNotes(const Elf64_Phdr &header) {
    if (header.p_filesz > maxNoteBytes) {
        return "its notes are too large";
    }
    std::vector<uint8_t> bytes(header.p_filesz);
    if (!source_.readAt(header.p_offset, bytes.data(), bytes.size())) {
        return "it was cut short: its notes lie outside of it";
    }
    // Names and descriptions begin at multiples of four bytes, whatever p_align says.
    constexpr auto padded = [](uint64_t size) { return (size + 3) & ~3ULL; };
    for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= bytes.size();) {
        Elf64_Nhdr note;
        memcpy(&note, bytes.data() + at, sizeof note);
        const uint64_t name = at + sizeof note;
        const uint64_t description = name + padded(note.n_namesz);
        if (description > bytes.size() || note.n_descsz > bytes.size() - description) {
            return "a note of it is longer than all of them";
        }
        if (note.n_namesz == 5 && memcmp(bytes.data() + name, "CORE", 5) == 0) {
            std::string problem = readNote(note.n_type, bytes.data() + description, note.n_descsz);
            if (!problem.empty()) {
                return problem;
            }
        }
        at = description + padded(note.n_descsz);
    }
    return "";
}

std::string Reader::readNote(uint32_t type, const uint8_t *bytes, size_t sizeBytes) {
    switch (type) {
    case NT_PRSTATUS:
        return readThread(bytes, sizeBytes);
    case NT_FILE:
        return readMappings(bytes, sizeBytes);
    case NT_AUXV:
        readAuxiliary(bytes, sizeBytes);
        return "";
    default:
        return "";
    }
}

std::string Reader::readThread(const uint8_t *bytes, size_t sizeBytes) {
    prstatus_t status;
    if (sizeBytes != sizeof status) {
        return "the registers of a thread are of an unknown size";
    }
    if (core_.threads.size() >= maxThreads) {
        return "it has too many threads";
    }
    memcpy(&status, bytes, sizeof status);
    if (core_.threadOf(status.pr_pid) != nullptr) {
        return "a thread is in it twice";
    }
    CoreThread &thread = core_.threads.emplace_back();
    thread.tid = status.pr_pid;
    thread.ip = status.pr_reg[ipPlace];
    for (size_t i = 0; i < thread.registers.size(); i++) {
        thread.registers[i] = status.pr_reg[places[i]];
    }
    return "";
}

/** Count and page size, then start, end and page of each mapping, then as many paths, each ended by a zero. */
std::string Reader::readMappings(const uint8_t *bytes, size_t sizeBytes) {
    uint64_t head[2];
    if (!core_.mappings.empty() || sizeBytes < sizeof head) {
        return "its list of mapped files is there twice or cut short";
    }
    memcpy(head, bytes, sizeof head);
    const auto [count, pageBytes] = head;
    if (count > maxSegments || count > (sizeBytes - sizeof head) / 24 || pageBytes == 0 || pageBytes > 1U << 30) {
        return "its list of mapped files is longer than its note";
    }
    const char *path = reinterpret_cast<const char *>(bytes) + sizeof head + count * 24;
    const char *end = reinterpret_cast<const char *>(bytes) + sizeBytes;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t words[3];
        memcpy(words, bytes + sizeof head + i * 24, sizeof words);
        const size_t length = strnlen(path, static_cast<size_t>(end - path));
        if (path + length >= end) {
            return "the path of a mapped file has no end";
        }
        if (words[0] >= words[1] || words[1] >> 63 != 0 || words[2] > UINT64_MAX / 2 / pageBytes) {
            return "a mapped file lies nowhere";
        }
        core_.mappings.push_back({words[0], words[1], words[2] * pageBytes, std::string(path, length)});
        path += length + 1;
    }
    return "";
}

void Reader::readAuxiliary(const uint8_t *bytes, size_t sizeBytes) {
    Elf64_auxv_t entry;
    for (size_t at = 0; at + sizeof entry <= sizeBytes; at += sizeof entry) {
        memcpy(&entry, bytes + at, sizeof entry);
        if (entry.a_type == AT_SYSINFO_EHDR) {
            core_.vdsoAddress = entry.a_un.a_val;
        }
    }
}

/** Sorts by address; false where two overlap. */
template <typename Ranges> bool sortRanges(Ranges &ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const auto &a, const auto &b) { return a.start < b.start; });
    return std::adjacent_find(ranges.begin(), ranges.end(),
                              [](const auto &a, const auto &b) { return a.end > b.start; }) == ranges.end();
}

template <typename Range> const Range *rangeAt(const std::vector<Range> &ranges, uint64_t address) {
    auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                  [](uint64_t value, const Range &range) { return value < range.start; });
    return after != ranges.begin() && address < std::prev(after)->end ? &*std::prev(after) : nullptr;
}

std::string Reader::read() {
    std::string problem = readHeader();
    if (problem.empty()) {
        problem = readSegments();
    }
    if (!problem.empty()) {
        return problem;
    }
    if (core_.threads.empty()) {
        return "it has no thread";
    }
    if (core_.segments.empty()) {
        return "it has no memory";
    }
    return sortRanges(core_.segments) && sortRanges(core_.mappings) ? "" : "parts of its memory overlap";
}

} // namespace

const CoreSegment *CoreFile::segmentAt(uint64_t address) const {
    return rangeAt(segments, address);
}

const CoreMapping *CoreFile::mappingAt(uint64_t address) const {
    return rangeAt(mappings, address);
}

const CoreThread *CoreFile::threadOf(int tid) const {
    auto found =
        std::find_if(threads.begin(), threads.end(), [tid](const CoreThread &thread) { return thread.tid == tid; });
    return found == threads.end() ? nullptr : &*found;
}

std::optional<CoreFile> CoreFile::read(const symbols::ByteSource &source, std::string &problem) {
    Reader reader(source);
    problem = reader.read();
    return problem.empty() ? std::optional(reader.take()) : std::nullopt;
}

} // namespace hotspan::unwind
