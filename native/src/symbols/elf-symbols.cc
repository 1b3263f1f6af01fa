/** Reading of ELF symbol tables in bounded pieces. */
#include "elf-symbols.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <unordered_map>

namespace hotspan::symbols {
namespace {

constexpr size_t entriesPerRead = 4096;
// The largest seen is libLLVM's: 2,900 bytes. Longer ones are cut: no demangler would take them.
constexpr size_t maxNameBytes = 8192;
constexpr uint64_t maxStubSectionBytes = 4U << 20;
constexpr uint64_t maxRelocations = 200'000;

/**
 * A string table: in memory as a whole where it is not too large, else through a small window. Linkers do not write
 * names in the order of the symbols, so that a window is read anew for nearly every name.
 */
class StringReader {
  public:
    StringReader(const ByteSource &source, const Section &section)
        : source_(source), begin_(section.offset),
          size_(section.offset < source.sizeBytes() ? std::min(section.sizeBytes, source.sizeBytes() - section.offset)
                                                    : 0) {}

    /** Empty where the offset lies outside of the table. */
    std::string_view at(uint64_t offset) {
        if (offset >= size_) {
            return {};
        }
        bool isWhole = size_ <= maxWholeBytes;
        // A whole table is read once, also where the file turns out to be shorter than it claimed.
        if (!isWhole || !isRead_) {
            isRead_ = true;
            windowAt_ = isWhole ? 0 : offset;
            window_.resize(static_cast<size_t>(isWhole ? size_ : std::min<uint64_t>(maxNameBytes, size_ - offset)));
            window_.resize(source_.readSome(begin_ + windowAt_, window_.data(), window_.size()));
        }
        size_t at = static_cast<size_t>(offset - windowAt_);
        if (at >= window_.size()) {
            return {};
        }
        return {window_.data() + at, strnlen(window_.data() + at, std::min(maxNameBytes, window_.size() - at))};
    }

  private:
    static constexpr uint64_t maxWholeBytes = 48U << 20;
    const ByteSource &source_;
    uint64_t begin_;
    uint64_t size_;
    uint64_t windowAt_ = 0;
    bool isRead_ = false;
    std::vector<char> window_;
};

SymbolRank rankOf(uint8_t type, uint8_t binding) {
    if (type == STT_NOTYPE) {
        return SymbolRank::label;
    }
    return binding == STB_GLOBAL ? SymbolRank::globalFunction
                                 : (binding == STB_WEAK ? SymbolRank::weakFunction : SymbolRank::localFunction);
}

/** Labels of hand-written assembly are functions as far as a profile is concerned; compilers' and mapping symbols are
 * not. */
bool isUsefulLabel(std::string_view name) {
    return name[0] != '$' && name[0] != '.' && name.substr(0, 2) != "__";
}

bool isInExecutableSegment(const ElfFile &file, uint64_t address) {
    for (const Segment &segment : file.segments()) {
        if (segment.isExecutable && address - segment.address < segment.fileSizeBytes) {
            return true;
        }
    }
    // A file without segments (a relocatable kernel module) has sections alone, and its symbols are taken as they are.
    return file.segments().empty();
}

/** One entry of a symbol table, whether of 32 or 64 bits. */
struct RawSymbol {
    uint32_t name;
    uint8_t info;
    uint16_t section;
    uint64_t value;
    uint64_t sizeBytes;
};

template <typename Entry>
bool forEachEntry(const ByteSource &source, const Section &section,
                  const std::function<bool(const RawSymbol &)> &visit) {
    if (section.offset >= source.sizeBytes()) {
        return true;
    }
    uint64_t count = std::min(section.sizeBytes, source.sizeBytes() - section.offset) / sizeof(Entry);
    std::vector<Entry> entries(static_cast<size_t>(std::min<uint64_t>(count, entriesPerRead)));
    for (uint64_t at = 0; at < count; at += entriesPerRead) {
        size_t wanted = static_cast<size_t>(std::min<uint64_t>(entriesPerRead, count - at));
        size_t got = source.readSome(section.offset + at * sizeof(Entry), entries.data(), wanted * sizeof(Entry)) /
                     sizeof(Entry);
        for (size_t i = 0; i < got; i++) {
            const Entry &entry = entries[i];
            if (!visit({entry.st_name, entry.st_info, entry.st_shndx, entry.st_value, entry.st_size})) {
                return false;
            }
        }
        if (got < wanted) {
            return true;
        }
    }
    return true;
}

bool forEachEntryOf(const ByteSource &source, const ElfFile &file, const Section &section,
                    const std::function<bool(const RawSymbol &)> &visit) {
    return file.is64() ? forEachEntry<Elf64_Sym>(source, section, visit)
                       : forEachEntry<Elf32_Sym>(source, section, visit);
}

bool visitTable(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                const Section &table, const std::function<bool(const FunctionSymbol &)> &visit) {
    if (table.link >= sections.size() || sections[table.link].type != SHT_STRTAB) {
        return true;
    }
    StringReader names(source, sections[table.link]);
    return forEachEntryOf(source, file, table, [&](const RawSymbol &symbol) {
        uint8_t type = symbol.info & 15;
        bool isFunction = type == STT_FUNC || type == STT_GNU_IFUNC;
        if ((!isFunction && type != STT_NOTYPE) || symbol.section == SHN_UNDEF || symbol.section == SHN_ABS ||
            symbol.value == 0 || !isInExecutableSegment(file, symbol.value)) {
            return true;
        }
        std::string_view name = names.at(symbol.name);
        name = name.substr(0, name.find('@'));
        if (name.empty() || (!isFunction && !isUsefulLabel(name))) {
            return true;
        }
        uint64_t sectionEnd = 0;
        if (symbol.section < sections.size()) {
            sectionEnd = sections[symbol.section].address + sections[symbol.section].sizeBytes;
        }
        FunctionSymbol function{
            symbol.value, symbol.sizeBytes, sectionEnd, name, rankOf(type, symbol.info >> 4), table.type == SHT_DYNSYM};
        return visit(function);
    });
}

const Section *findSection(const std::vector<Section> &sections, std::string_view name) {
    for (const Section &section : sections) {
        if (section.name == name) {
            return &section;
        }
    }
    return nullptr;
}

/** Address of a global offset table slot -> index of the dynamic symbol that the loader puts there. */
std::unordered_map<uint64_t, uint32_t> readSlots(const ByteSource &source, const std::vector<Section> &sections) {
    std::unordered_map<uint64_t, uint32_t> slots;
    for (const Section &section : sections) {
        if (section.type != SHT_RELA || (section.name != ".rela.plt" && section.name != ".rela.dyn")) {
            continue;
        }
        uint64_t count = section.offset < source.sizeBytes()
                             ? std::min(section.sizeBytes, source.sizeBytes() - section.offset) / sizeof(Elf64_Rela)
                             : 0;
        for (uint64_t i = 0; i < std::min(count, maxRelocations); i += entriesPerRead) {
            std::vector<Elf64_Rela> entries(static_cast<size_t>(std::min<uint64_t>(entriesPerRead, count - i)));
            if (!source.readAt(section.offset + i * sizeof(Elf64_Rela), entries.data(),
                               entries.size() * sizeof(Elf64_Rela))) {
                break;
            }
            for (const Elf64_Rela &entry : entries) {
                uint32_t type = ELF64_R_TYPE(entry.r_info);
                if (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) {
                    slots.emplace(entry.r_offset, ELF64_R_SYM(entry.r_info));
                }
            }
        }
    }
    return slots;
}

/** Slot that a 16 (or 8) byte stub jumps through: [endbr64] [bnd] jmp *slot(%rip); 0 where it is no such stub. */
uint64_t slotOfStub(const uint8_t *code, size_t sizeBytes, uint64_t address) {
    size_t at = 0;
    static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    if (sizeBytes >= 4 && memcmp(code, endbr64, 4) == 0) {
        at = 4;
    }
    if (at < sizeBytes && code[at] == 0xf2) {
        at++;
    }
    if (at + 6 > sizeBytes || code[at] != 0xff || code[at + 1] != 0x25) {
        return 0;
    }
    int32_t displacement;
    memcpy(&displacement, code + at + 2, sizeof displacement);
    return address + at + 6 + static_cast<uint64_t>(static_cast<int64_t>(displacement));
}

} // namespace

void forEachFunctionSymbol(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                           const std::function<bool(const FunctionSymbol &)> &visit) {
    for (uint32_t type : {uint32_t{SHT_SYMTAB}, uint32_t{SHT_DYNSYM}}) {
        for (const Section &section : sections) {
            if (section.type == type && !visitTable(source, file, sections, section, visit)) {
                return;
            }
        }
    }
}

void forEachPltStub(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                    const std::function<bool(const FunctionSymbol &)> &visit) {
    const Section *symbols = findSection(sections, ".dynsym");
    if (file.machine() != EM_X86_64 || !file.is64() || symbols == nullptr || symbols->link >= sections.size()) {
        return;
    }
    std::unordered_map<uint64_t, uint32_t> slots = readSlots(source, sections);
    if (slots.empty()) {
        return;
    }
    StringReader names(source, sections[symbols->link]);
    for (const char *sectionName : {".plt", ".plt.sec", ".plt.got"}) {
        const Section *section = findSection(sections, sectionName);
        if (section == nullptr || section->type != SHT_PROGBITS) {
            continue;
        }
        std::vector<uint8_t> code(
            static_cast<size_t>(std::min({section->sizeBytes, maxStubSectionBytes, source.sizeBytes()})));
        code.resize(source.readSome(section->offset, code.data(), code.size()));
        // .plt.got has stubs of 8 bytes, or of 16 where they begin with endbr64.
        size_t step = code.size() >= 4 && section->name == ".plt.got" && code[0] != 0xf3 ? 8 : 16;
        for (size_t at = 0; at + step <= code.size(); at += step) {
            auto slot = slots.find(slotOfStub(code.data() + at, step, section->address + at));
            Elf64_Sym symbol;
            if (slot == slots.end() || uint64_t{slot->second} >= symbols->sizeBytes / sizeof symbol ||
                !source.readAt(symbols->offset + uint64_t{slot->second} * sizeof symbol, &symbol, sizeof symbol)) {
                continue;
            }
            std::string name(names.at(symbol.st_name));
            if (!name.empty() &&
                !visit({section->address + at, step, 0, name + "@plt", SymbolRank::localFunction, true})) {
                return;
            }
        }
    }
}

bool isGoFile(const std::vector<Section> &sections) {
    return findSection(sections, ".gopclntab") != nullptr ||
           findSection(sections, ".data.rel.ro.gopclntab") != nullptr ||
           findSection(sections, ".go.buildinfo") != nullptr;
}

void addSymbols(SymbolTableBuilder &builder, const ByteSource &source, const ElfFile &file,
                const std::vector<Section> &sections) {
    auto add = [&](const FunctionSymbol &symbol) {
        return builder.add({symbol.address, symbol.sizeBytes, symbol.sectionEnd, symbol.name, symbol.rank});
    };
    // .dynsym mostly repeats .symtab; builder.build() keeps one name for an address.
    forEachFunctionSymbol(source, file, sections, add);
    forEachPltStub(source, file, sections, add);
}

SymbolTable loadSymbols(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                        const SymbolTableBuilder::Limits &limits) {
    SymbolTableBuilder builder(limits);
    addSymbols(builder, source, file, sections);
    return builder.build();
}

} // namespace hotspan::symbols
