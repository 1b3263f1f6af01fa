/** Reading of ELF headers, segments, notes and section headers, distrusting all of them. */
#include "elf-file.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <unistd.h>

namespace hotspan::symbols {
namespace {

// Bounds on what is looked at. Real files have tens of each; the widest seen (Chromium with -ffunction-sections) a few
// thousand sections. Beyond them the file lies or is of no use for naming.
constexpr uint32_t maxProgramHeaders = 512;
constexpr uint32_t maxSectionHeaders = 65536;
constexpr uint64_t maxNoteBytes = 65536;
constexpr uint64_t maxSectionNamesBytes = 4U << 20;
constexpr uint32_t maxBuildIdBytes = 64;

uint64_t fnv1a(uint64_t hash, const void *data, size_t sizeBytes) {
    const auto *bytes = static_cast<const uint8_t *>(data);
    for (size_t i = 0; i < sizeBytes; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
    }
    return hash;
}

template <typename Header> Segment segmentOf(const Header &header) {
    return Segment{header.p_offset, header.p_filesz, header.p_vaddr, (header.p_flags & PF_X) != 0};
}

template <typename Header> Section sectionOf(const Header &header) {
    Section section;
    section.type = header.sh_type;
    section.link = header.sh_link;
    section.flags = header.sh_flags;
    section.address = header.sh_addr;
    section.offset = header.sh_offset;
    section.sizeBytes = header.sh_size;
    section.entrySizeBytes = header.sh_entsize;
    return section;
}

/** One table of headers into memory, or nothing where it does not lie wholly within the file. */
template <typename Header>
std::vector<Header> readTable(const ByteSource &source, uint64_t offset, uint32_t count, uint32_t entrySize) {
    std::vector<Header> table;
    if (entrySize != sizeof(Header) || offset > source.sizeBytes() ||
        uint64_t{count} * sizeof(Header) > source.sizeBytes() - offset) {
        return table;
    }
    table.resize(count);
    if (!source.readAt(offset, table.data(), size_t{count} * sizeof(Header))) {
        table.clear();
    }
    return table;
}

} // namespace

std::optional<ElfFile> ElfFile::read(const ByteSource &source) {
    ElfFile file;
    if (!file.readHeader(source) || !file.readSegments(source)) {
        return std::nullopt;
    }
    return file;
}

bool ElfFile::readHeader(const ByteSource &source) {
    unsigned char bytes[sizeof(Elf64_Ehdr)] = {};
    if (source.readSome(0, bytes, sizeof bytes) < sizeof(Elf32_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0 ||
        bytes[EI_DATA] != ELFDATA2LSB) {
        return false;
    }
    auto take = [this](const auto &header) {
        machine_ = header.e_machine;
        entryAddress_ = header.e_entry;
        programHeaderOffset_ = header.e_phoff;
        programHeaderCount_ = header.e_phnum;
        programHeaderSize_ = header.e_phentsize;
        sectionHeaderOffset_ = header.e_shoff;
        sectionHeaderCount_ = header.e_shnum;
        sectionHeaderSize_ = header.e_shentsize;
        sectionNameIndex_ = header.e_shstrndx;
        headerHash_ = fnv1a(0xcbf29ce484222325ULL, &header, sizeof header);
    };
    if (bytes[EI_CLASS] == ELFCLASS64) {
        Elf64_Ehdr header;
        memcpy(&header, bytes, sizeof header);
        take(header);
    } else if (bytes[EI_CLASS] == ELFCLASS32) {
        Elf32_Ehdr header;
        memcpy(&header, bytes, sizeof header);
        is64_ = false;
        take(header);
    } else {
        return false;
    }
    return true;
}

bool ElfFile::readSegments(const ByteSource &source) {
    struct Note {
        uint64_t offset, sizeBytes, align;
    };
    std::vector<Note> notes;
    auto take = [&](const auto &headers) {
        for (const auto &header : headers) {
            if (header.p_type == PT_LOAD) {
                segments_.push_back(segmentOf(header));
            } else if (header.p_type == PT_NOTE) {
                notes.push_back({header.p_offset, header.p_filesz, header.p_align});
            } else if (header.p_type == PT_GNU_EH_FRAME) {
                ehFrameHeaderAddress_ = header.p_vaddr;
            }
        }
        headerHash_ = fnv1a(headerHash_, headers.data(), headers.size() * sizeof(headers[0]));
    };
    uint32_t count = std::min(programHeaderCount_, maxProgramHeaders);
    if (is64_) {
        take(readTable<Elf64_Phdr>(source, programHeaderOffset_, count, programHeaderSize_));
    } else {
        take(readTable<Elf32_Phdr>(source, programHeaderOffset_, count, programHeaderSize_));
    }
    for (const Note &note : notes) {
        readBuildId(source, note.offset, note.sizeBytes, note.align);
    }
    return true;
}

void ElfFile::readBuildId(const ByteSource &source, uint64_t offset, uint64_t sizeBytes, uint64_t align) {
    // Notes are padded to 4 bytes; PT_NOTE segments of 8 byte alignment (.note.gnu.property) pad to 8.
    const uint64_t padding = align == 8 ? 7 : 3;
    std::vector<uint8_t> bytes(std::min({sizeBytes, maxNoteBytes, source.sizeBytes()}));
    bytes.resize(source.readSome(offset, bytes.data(), bytes.size()));
    size_t at = 0;
    while (buildId_.empty() && bytes.size() - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, bytes.data() + at, sizeof note);
        uint64_t nameAt = at + sizeof note;
        uint64_t valueAt = nameAt + ((uint64_t{note.n_namesz} + padding) & ~padding);
        uint64_t end = valueAt + ((uint64_t{note.n_descsz} + padding) & ~padding);
        if (valueAt > bytes.size() || note.n_descsz > bytes.size() - valueAt) {
            return;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(bytes.data() + nameAt, "GNU", 4) == 0 &&
            note.n_descsz <= maxBuildIdBytes) {
            static const char digits[] = "0123456789abcdef";
            for (uint32_t i = 0; i < note.n_descsz; i++) {
                buildId_ += digits[bytes[valueAt + i] >> 4];
                buildId_ += digits[bytes[valueAt + i] & 15];
            }
        }
        if (end >= bytes.size()) {
            return;
        }
        at = end;
    }
}

void ElfFile::takeBuildId(const ByteSource &source, const std::vector<Section> &sections) {
    for (const Section &section : sections) {
        if (section.type == SHT_NOTE && section.name == ".note.gnu.build-id") {
            readBuildId(source, section.offset, section.sizeBytes, 4);
        }
    }
}

bool ElfFile::isWhole(const ByteSource &source) const {
    auto isWithin = [&source](uint64_t offset, uint64_t sizeBytes) {
        return offset <= source.sizeBytes() && sizeBytes <= source.sizeBytes() - offset;
    };
    return isWithin(programHeaderOffset_, uint64_t{programHeaderCount_} * programHeaderSize_) &&
           isWithin(sectionHeaderOffset_, uint64_t{sectionHeaderCount_} * sectionHeaderSize_) &&
           std::all_of(segments_.begin(), segments_.end(),
                       [&](const Segment &segment) { return isWithin(segment.fileOffset, segment.fileSizeBytes); });
}

std::vector<Section> ElfFile::readSections(const ByteSource &source) const {
    std::vector<Section> sections;
    std::vector<uint32_t> names;
    auto take = [&](const auto &headers) {
        for (const auto &header : headers) {
            sections.push_back(sectionOf(header));
            names.push_back(header.sh_name);
        }
    };
    uint32_t count = sectionHeaderCount_;
    uint32_t nameIndex = sectionNameIndex_;
    // More than 65,279 sections: the true count and name index stand in section 0 (gABI, e_shnum). None that we can
    // use.
    if (sectionHeaderOffset_ == 0 || count == 0 || count > maxSectionHeaders) {
        return sections;
    }
    if (is64_) {
        take(readTable<Elf64_Shdr>(source, sectionHeaderOffset_, count, sectionHeaderSize_));
    } else {
        take(readTable<Elf32_Shdr>(source, sectionHeaderOffset_, count, sectionHeaderSize_));
    }
    if (nameIndex < sections.size()) {
        std::string text(std::min({sections[nameIndex].sizeBytes, maxSectionNamesBytes, source.sizeBytes()}), '\0');
        text.resize(source.readSome(sections[nameIndex].offset, text.data(), text.size()));
        for (size_t i = 0; i < sections.size(); i++) {
            if (names[i] < text.size()) {
                sections[i].name = text.substr(names[i], std::min<size_t>(text.find('\0', names[i]) - names[i], 256));
            }
        }
    }
    return sections;
}

std::optional<uint64_t> ElfFile::addressOf(uint64_t fileOffset) const {
    static const uint64_t pageMask = static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) - 1;
    // Mapping is by whole pages, so the page in which the executable segment begins in the file often belongs to the
    // one before it as well, at another address. Executable mappings come from executable segments: those are asked
    // first.
    auto addressIn = [&](bool isExecutable, uint64_t slack) -> std::optional<uint64_t> {
        for (const Segment &segment : segments_) {
            uint64_t begin = segment.fileOffset & ~slack;
            if (segment.isExecutable == isExecutable && fileOffset >= begin &&
                fileOffset - begin < ((segment.fileOffset - begin + segment.fileSizeBytes + slack) & ~slack)) {
                return fileOffset - segment.fileOffset + segment.address;
            }
        }
        return std::nullopt;
    };
    if (std::optional<uint64_t> address = addressIn(true, 0)) {
        return address;
    }
    std::optional<uint64_t> address = addressIn(true, pageMask);
    return address ? address : addressIn(false, 0);
}

std::optional<uint64_t> ElfFile::fileOffsetOf(uint64_t address) const {
    for (bool isExecutable : {true, false}) {
        for (const Segment &segment : segments_) {
            if (segment.isExecutable == isExecutable && address >= segment.address &&
                address - segment.address < segment.fileSizeBytes) {
                return address - segment.address + segment.fileOffset;
            }
        }
    }
    return std::nullopt;
}

} // namespace hotspan::symbols
