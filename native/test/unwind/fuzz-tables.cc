// Fuzzing (libFuzzer) of all that reads unwind information of strangers. The first byte of the input says what the rest
// is: an ELF file, or a section of one whose frame is made here, so that the fuzzer need not learn ELF first, or a file
// of the cache. What comes out must be sound, or the run is stopped. `npm run fuzz` builds and runs it; README.md in
// native/.
#include <cstdio>
#include <cstdlib>

#include "elf-builder.h"
#include "unwind/table-cache.h"
#include "unwind/table-writer.h"
#include "unwind/unwind-table.h"

namespace {

using namespace hotspan;
using namespace hotspan::unwind;

[[noreturn]] void fail(const char *what) {
    fprintf(stderr, "fuzz-tables: %s\n", what);
    abort();
}

/** What readers of tables rely on. */
void checkTable(const UnwindTable &table) {
    if (table.bytes.size() > maxTableBytes || table.pages.size() > maxPages) {
        fail("a table beyond its bounds");
    }
    std::string file = serializeTable("key", table);
    std::optional<UnwindTable> again = parseTable("key", reinterpret_cast<const uint8_t *>(file.data()), file.size());
    if (!again || again->bytes != table.bytes) {
        fail("a table that is not sound");
    }
    for (uint64_t page = 0; page <= table.pages.size(); page++) {
        for (uint64_t low : {0x0, 0x1, 0x40, 0x1000, 0xffff}) {
            describeRule(unwindRuleAt(table, page << UNWIND_PAGE_SHIFT | low));
        }
    }
}

void buildFrom(const std::string &file) {
    symbols::ByteSource source = symbols::ByteSource::ofMemory(file.data(), file.size());
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    std::string problem;
    std::optional<UnwindTable> table = elf ? buildUnwindTable(source, *elf, problem) : std::nullopt;
    if (table) {
        checkTable(*table);
    }
}

/** Go's table, behind the code that it tells of: its first two bytes are that code's size. */
void buildGo(const std::string &bytes) {
    if (bytes.size() < 2) {
        return;
    }
    size_t codeSize = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
    codeSize = std::min(codeSize, bytes.size() - 2);
    std::string file = makeElf({{".gopclntab", bytes.substr(2 + codeSize)}});
    file.replace(fileOffsetOfCode, codeSize, bytes, 2, codeSize);
    buildFrom(file);
}

/** Code that nothing describes, with symbols behind it: its first two bytes are the code's size. */
void buildFollowed(const std::string &bytes) {
    if (bytes.size() < 2) {
        return;
    }
    size_t codeSize = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
    codeSize = std::min(codeSize, bytes.size() - 2);
    std::string file = makeElf({{".symtab", bytes.substr(2 + codeSize)}}, SHT_SYMTAB);
    file.replace(fileOffsetOfCode, std::min<size_t>(codeSize, codeBytes), bytes, 2,
                 std::min<size_t>(codeSize, codeBytes));
    buildFrom(file);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sizeBytes) {
    if (sizeBytes == 0) {
        return 0;
    }
    std::string bytes(reinterpret_cast<const char *>(data) + 1, sizeBytes - 1);
    switch (data[0]) {
    case 'E':
        buildFrom(bytes);
        break;
    case 'e':
        buildFrom(makeElf({{".eh_frame", bytes}}));
        break;
    case 'd':
        buildFrom(makeElf({{".debug_frame", bytes, 0}}));
        break;
    case 'z':
        buildFrom(makeElf({{".debug_frame", bytes, SHF_COMPRESSED}}));
        break;
    case 'g':
        buildGo(bytes);
        break;
    case 'f':
        buildFollowed(bytes);
        break;
    case 'c':
        if (auto table = parseTable("key", data + 1, sizeBytes - 1)) {
            checkTable(*table);
        }
        break;
    default:
        break;
    }
    return 0;
}
