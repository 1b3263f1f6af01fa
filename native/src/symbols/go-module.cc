/** Finding of a Go binary's tables: by section, else by their magic; then the runtime's moduledata that points to them.
 */
#include "go-module.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <functional>
#include <iterator>
#include <span>

namespace hotspan::symbols {
namespace {

constexpr size_t scanChunkBytes = 256U << 10;
// Of all segments of a file: the largest Go programs have about 150 MB.
constexpr uint64_t maxScanBytes = 512U << 20;
constexpr uint64_t maxRelocations = 16U << 20;
constexpr size_t maxCandidates = 16;
// Kubernetes has 120,000.
constexpr uint64_t maxFunctions = 4U << 20;
// Every table of the linker's is below that, because offsets have 32 bits.
constexpr uint64_t maxTableBytes = 1ULL << 32;

// Words of the moduledata, the same in all versions of Go from 1.18 on.
constexpr size_t wordNames = 1, wordUnits = 4, wordMinPc = 20, wordMaxPc = 21, wordText = 22;
// gofunc: before and from Go 1.20 on, which put covctrs before it.
constexpr size_t wordDataOld = 38, wordDataNew = 40;
constexpr size_t moduleWords = 42;

/** A section, or what of a segment stands in the file. */
struct Range {
    uint64_t address = 0;
    uint64_t offset = 0;
    uint64_t sizeBytes = 0;
};

std::vector<Range> dataRanges(const ByteSource &source, const ElfFile &file) {
    std::vector<Range> ranges;
    for (const Segment &segment : file.segments()) {
        if (!segment.isExecutable && segment.fileOffset < source.sizeBytes()) {
            ranges.push_back({segment.address, segment.fileOffset,
                              std::min(segment.fileSizeBytes, source.sizeBytes() - segment.fileOffset)});
        }
    }
    return ranges;
}

/** Calls `visit` with the place of each aligned word that begins with `pattern`, until it returns false. */
void scan(const ByteSource &source, const Range &range, std::span<const uint8_t> pattern,
          const std::function<bool(uint64_t offset)> &visit) {
    std::vector<uint8_t> chunk(scanChunkBytes);
    uint64_t end = range.offset + std::min(range.sizeBytes, maxScanBytes);
    for (uint64_t at = (range.offset + 7) & ~uint64_t{7}; at + pattern.size() <= end; at += scanChunkBytes) {
        size_t got = source.readSome(at, chunk.data(), static_cast<size_t>(std::min<uint64_t>(chunk.size(), end - at)));
        for (size_t i = 0; i + pattern.size() <= got; i += 8) {
            if (memcmp(chunk.data() + i, pattern.data(), pattern.size()) == 0 && !visit(at + i)) {
                return;
            }
        }
        if (got < chunk.size()) {
            return;
        }
    }
}

bool isTableSection(const Section &section) {
    return section.name == ".gopclntab" || section.name == ".data.rel.ro.gopclntab";
}

/** Go's linker leaves this where GNU ld has put the table into a section with other things (cgo, PIE). */
bool mayBeGo(const std::vector<Section> &sections) {
    return sections.empty() || std::any_of(sections.begin(), sections.end(), [](const Section &section) {
               return section.name == ".go.buildinfo" || section.name == ".note.go.buildid";
           });
}

bool setTable(const ByteSource &source, const Range &range, GoModule &module) {
    std::optional<GoTableHeader> header = readGoTableHeader(source, range.offset, range.sizeBytes);
    if (header) {
        module.header = *header;
        module.address = range.address;
        module.offset = range.offset;
        module.sizeBytes = range.sizeBytes;
    }
    return header.has_value();
}

bool findTable(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections, GoModule &module) {
    for (const Section &section : sections) {
        if (isTableSection(section) && section.offset < source.sizeBytes() &&
            setTable(
                source,
                {section.address, section.offset, std::min(section.sizeBytes, source.sizeBytes() - section.offset)},
                module)) {
            return true;
        }
    }
    bool isFound = false;
    if (mayBeGo(sections)) {
        for (uint8_t magic : {0xf1, 0xf0}) {
            const uint8_t pattern[] = {magic, 0xff, 0xff, 0xff, 0, 0, 1, 8};
            for (const Range &range : dataRanges(source, file)) {
                size_t candidates = 0;
                scan(source, range, pattern, [&](uint64_t offset) {
                    uint64_t skipped = offset - range.offset;
                    isFound = setTable(source, {range.address + skipped, offset, range.sizeBytes - skipped}, module);
                    return !isFound && ++candidates < maxCandidates;
                });
                if (isFound) {
                    return true;
                }
            }
        }
    }
    return false;
}

/** The RELATIVE relocations of a file: what its loader writes to pointers that are 0 in the file. */
class Relocations {
  public:
    Relocations(const ByteSource &source, const ElfFile &file) : source_(source) {
        Elf64_Ehdr header;
        if (!source.readAt(0, &header, sizeof header) || header.e_phentsize != sizeof(Elf64_Phdr)) {
            return;
        }
        std::vector<Elf64_Phdr> programs(std::min<size_t>(header.e_phnum, 256));
        if (!source.readAt(header.e_phoff, programs.data(), programs.size() * sizeof(Elf64_Phdr))) {
            return;
        }
        for (const Elf64_Phdr &program : programs) {
            if (program.p_type == PT_DYNAMIC) {
                readDynamic(file, program);
            }
        }
    }

    void forEach(const std::function<bool(const Elf64_Rela &)> &visit) const {
        std::vector<Elf64_Rela> entries(4096);
        for (uint64_t i = 0; i < count_; i += entries.size()) {
            size_t wanted = static_cast<size_t>(std::min<uint64_t>(entries.size(), count_ - i));
            size_t got =
                source_.readSome(offset_ + i * sizeof(Elf64_Rela), entries.data(), wanted * sizeof(Elf64_Rela)) /
                sizeof(Elf64_Rela);
            for (size_t k = 0; k < got; k++) {
                if (ELF64_R_TYPE(entries[k].r_info) == R_X86_64_RELATIVE && !visit(entries[k])) {
                    return;
                }
            }
            if (got < wanted) {
                return;
            }
        }
    }

  private:
    void readDynamic(const ElfFile &file, const Elf64_Phdr &program) {
        std::vector<Elf64_Dyn> entries(std::min<size_t>(program.p_filesz / sizeof(Elf64_Dyn), 1024));
        entries.resize(source_.readSome(program.p_offset, entries.data(), entries.size() * sizeof(Elf64_Dyn)) /
                       sizeof(Elf64_Dyn));
        uint64_t sizeBytes = 0;
        for (const Elf64_Dyn &entry : entries) {
            if (entry.d_tag == DT_RELA) {
                offset_ = file.fileOffsetOf(entry.d_un.d_ptr).value_or(0);
            } else if (entry.d_tag == DT_RELASZ) {
                sizeBytes = entry.d_un.d_val;
            }
        }
        count_ = offset_ == 0 ? 0 : std::min(sizeBytes / sizeof(Elf64_Rela), maxRelocations);
    }

    const ByteSource &source_;
    uint64_t offset_ = 0;
    uint64_t count_ = 0;
};

struct ModuleData {
    uint64_t words[moduleWords] = {};
};

/** Places where a pointer to the table stands, as ELF addresses. */
std::vector<uint64_t> pointersTo(const ByteSource &source, const ElfFile &file, const Relocations &relocations,
                                 uint64_t address) {
    std::vector<uint64_t> places;
    relocations.forEach([&](const Elf64_Rela &entry) {
        if (static_cast<uint64_t>(entry.r_addend) == address) {
            places.push_back(entry.r_offset);
        }
        return places.size() < maxCandidates;
    });
    uint8_t pattern[8];
    memcpy(pattern, &address, sizeof pattern);
    for (const Range &range : dataRanges(source, file)) {
        scan(source, range, pattern, [&](uint64_t offset) {
            places.push_back(range.address + (offset - range.offset));
            return places.size() < 2 * maxCandidates;
        });
    }
    return places;
}

std::optional<ModuleData> readModuleData(const ByteSource &source, const ElfFile &file, const Relocations &relocations,
                                         uint64_t address) {
    ModuleData data;
    std::optional<uint64_t> offset = file.fileOffsetOf(address);
    if (!offset || !source.readAt(*offset, data.words, sizeof data.words)) {
        return std::nullopt;
    }
    relocations.forEach([&](const Elf64_Rela &entry) {
        uint64_t at = entry.r_offset - address;
        if (at < sizeof data.words && at % 8 == 0) {
            data.words[at / 8] = static_cast<uint64_t>(entry.r_addend);
        }
        return true;
    });
    return data;
}

uint32_t readU32(const ByteSource &source, uint64_t offset) {
    uint32_t value = 0;
    return source.readAt(offset, &value, sizeof value) ? value : UINT32_MAX;
}

/** Pointers to the table's parts, and bounds of the code that agree with its first and last function. */
bool isModuleData(const ByteSource &source, const GoModule &module, const ModuleData &data) {
    const GoTableHeader &header = module.header;
    uint64_t functions = module.offset + header.functionOffset;
    uint64_t text = data.words[wordText];
    return data.words[0] == module.address && data.words[wordNames] == module.address + header.nameOffset &&
           data.words[wordUnits] == module.address + header.unitOffset &&
           data.words[wordMinPc] == text + readU32(source, functions) &&
           data.words[wordMaxPc] == text + readU32(source, functions + uint64_t{8} * header.functionCount);
}

void setData(const ByteSource &source, const ElfFile &file, const ModuleData &data, GoModule &module) {
    uint64_t address = data.words[module.header.hasStartLine ? wordDataNew : wordDataOld];
    for (const Range &range : dataRanges(source, file)) {
        uint64_t skipped = address - range.address;
        if (address >= range.address && skipped < range.sizeBytes) {
            module.dataOffset = range.offset + skipped;
            module.dataBytes = range.sizeBytes - skipped;
        }
    }
}

void findModuleData(const ByteSource &source, const ElfFile &file, GoModule &module) {
    Relocations relocations(source, file);
    for (uint64_t place : pointersTo(source, file, relocations, module.address)) {
        std::optional<ModuleData> data = readModuleData(source, file, relocations, place);
        if (data && isModuleData(source, module, *data)) {
            module.text = data->words[wordText];
            setData(source, file, *data, module);
            return;
        }
    }
}

} // namespace

std::optional<GoTableHeader> readGoTableHeader(const ByteSource &source, uint64_t offset, uint64_t sizeBytes) {
    struct {
        uint32_t magic;
        uint8_t pad[2], pcQuantum, pointerBytes;
        uint64_t functionCount, fileCount, textStart, offsets[5];
    } raw;
    sizeBytes = std::min(sizeBytes, maxTableBytes);
    if (sizeBytes < sizeof raw || !source.readAt(offset, &raw, sizeof raw) ||
        (raw.magic != 0xfffffff0 && raw.magic != 0xfffffff1) || raw.pad[0] != 0 || raw.pad[1] != 0 ||
        (raw.pcQuantum != 1 && raw.pcQuantum != 4) || raw.pointerBytes != 8 || raw.functionCount == 0 ||
        raw.functionCount > maxFunctions || !std::is_sorted(std::begin(raw.offsets), std::end(raw.offsets)) ||
        raw.offsets[0] < sizeof raw || raw.offsets[4] >= sizeBytes ||
        raw.functionCount * 8 + 4 > sizeBytes - raw.offsets[4]) {
        return std::nullopt;
    }
    GoTableHeader header;
    header.hasStartLine = raw.magic == 0xfffffff1;
    header.pcQuantum = raw.pcQuantum;
    header.functionCount = static_cast<uint32_t>(raw.functionCount);
    header.textStart = raw.textStart;
    header.nameOffset = raw.offsets[0];
    header.unitOffset = raw.offsets[1];
    header.fileOffset = raw.offsets[2];
    header.pcOffset = raw.offsets[3];
    header.functionOffset = raw.offsets[4];
    // A function's record stands behind the index of functions.
    uint32_t record = readU32(source, offset + header.functionOffset + 4);
    bool isPlausible = record >= raw.functionCount * 8 + 4 && record < sizeBytes - header.functionOffset;
    return isPlausible ? std::optional(header) : std::nullopt;
}

std::optional<GoModule> findGoModule(const ByteSource &source, const ElfFile &file,
                                     const std::vector<Section> &sections) {
    GoModule module;
    if (!file.is64() || !findTable(source, file, sections, module)) {
        return std::nullopt;
    }
    findModuleData(source, file, module);
    if (module.text == 0) {
        module.text = module.header.textStart;
    }
    if (module.text == 0) {
        for (const Section &section : sections) {
            // Go's own linker begins .text with the first function of Go.
            module.text = section.name == ".text" ? section.address : module.text;
        }
    }
    return module.text == 0 ? std::nullopt : std::optional(module);
}

} // namespace hotspan::symbols
