/** Putting together of a program's symbols. */
#include "program-names.h"

#include <algorithm>
#include <elf.h>

#include "decompress.h"
#include "elf-symbols.h"

namespace hotspan::symbols {
namespace {

// Those of Fedora unpack to 1 MB for the largest programs.
constexpr uint64_t maxMiniBytes = 16U << 20;

bool hasSymtab(const std::vector<Section> &sections) {
    return std::any_of(sections.begin(), sections.end(),
                       [](const Section &section) { return section.type == SHT_SYMTAB && section.sizeBytes > 0; });
}

void addMiniSymbols(SymbolTableBuilder &builder, DebugFile &program) {
    for (const Section &section : program.sections()) {
        if (section.name != ".gnu_debugdata") {
            continue;
        }
        std::optional<std::vector<uint8_t>> bytes =
            unpackXz(program.source(), {section.offset, section.sizeBytes}, maxMiniBytes);
        ByteSource source = bytes ? ByteSource::ofMemory(bytes->data(), bytes->size()) : ByteSource::ofMemory("", 0);
        if (std::optional<ElfFile> mini = ElfFile::read(source)) {
            // Which addresses are code is told by the program: the segments of its copies without contents are empty.
            addSymbols(builder, source, program.elf(), mini->readSections(source));
        }
        return;
    }
}

/** Ranges of code of a program, as a test. */
CodeTest codeTestOf(const ElfFile &elf) {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const Segment &segment : elf.segments()) {
        if (segment.isExecutable) {
            ranges.emplace_back(segment.address, segment.address + segment.fileSizeBytes);
        }
    }
    return [ranges = std::move(ranges)](uint64_t address) {
        return std::any_of(ranges.begin(), ranges.end(),
                           [&](const auto &range) { return address >= range.first && address < range.second; });
    };
}

} // namespace

ProgramNames loadProgramNames(const std::shared_ptr<DebugFile> &program, const ProgramPlace &place,
                              const std::string &fetched) {
    ProgramNames names;
    const std::vector<Section> &sections = program->sections();
    names.go = GoSymbols::load(program->source(), program->elf(), sections, {});
    names.isGo = names.go || isGoFile(sections);
    std::shared_ptr<DebugFile> debug = findDebugFile(place, program, fetched);
    // Go's table has all that the symbols have of it. Where it has to be read from the file they stay, for the file may
    // be gone by then.
    std::function<bool(uint64_t)> isNamed;
    if (names.go && !names.go->needsFile()) {
        isNamed = [go = names.go](uint64_t address) { return go->names(address); };
    }
    SymbolTableBuilder builder(SymbolTableBuilder::Limits{}, isNamed);
    addSymbols(builder, program->source(), program->elf(), sections);
    if (!hasSymtab(sections)) {
        addMiniSymbols(builder, *program);
        if (debug && debug != program) {
            addSymbols(builder, debug->source(), program->elf(), debug->sections());
        }
    }
    names.table = std::make_shared<const SymbolTable>(builder.build());
    if (debug) {
        names.debug = std::make_shared<DebugInfo>(debug, neighboursOf(place), codeTestOf(program->elf()));
        debug->close();
    }
    return names;
}

} // namespace hotspan::symbols
