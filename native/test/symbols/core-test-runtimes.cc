// Parts of the core's test that read what language runtimes write: Go's tables.
#include "core-test.h"

#include "symbols/go-symbols.h"

namespace {

struct GoFile {
    std::string bytes;
    ByteSource source = ByteSource::ofMemory(nullptr, 0);
    std::optional<ElfFile> elf;
    std::vector<Section> sections;

    explicit GoFile(std::string content) : bytes(std::move(content)) {
        source = ByteSource::ofMemory(bytes.data(), bytes.size());
        elf = ElfFile::read(source);
        if (elf) {
            sections = elf->readSections(source);
        }
    }
    GoFile(const GoFile &) = delete;
    GoFile &operator=(const GoFile &) = delete;

    std::shared_ptr<const GoSymbols> load(size_t memoryBytes) const {
        return elf ? GoSymbols::load(source, *elf, sections, {memoryBytes}) : nullptr;
    }
};

/** Names and lines of addresses all over the code, as one text. */
std::string describeAll(const GoSymbols &symbols, const ByteSource &source, const GoModule &module, size_t count) {
    std::string text;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = module.text + i * 7919;
        GoCode code = symbols.find(source, address);
        for (const GoLine &line : code.lines) {
            text += line.name + " " + line.file + ":" + std::to_string(line.line) + (code.isC ? " C\n" : "\n");
        }
        text += "\n";
    }
    return text;
}

/** Lies at places that matter: header, index, records, function data, module data. */
void lie(std::string &bytes, const GoModule &module) {
    const GoTableHeader &header = module.header;
    uint64_t index = module.offset + header.functionOffset;
    const std::pair<uint64_t, uint64_t> places[] = {
        {module.offset, 72},
        {index, 8 * uint64_t{header.functionCount}},
        {index + 8 * uint64_t{header.functionCount}, 44 * uint64_t{header.functionCount}},
        {module.offset + header.pcOffset, header.functionOffset - header.pcOffset},
        {module.dataOffset, 20'000},
        {0, bytes.size()}};
    const uint64_t interesting[] = {0, 1, 0x7f, 0xff, 0x80000000, UINT32_MAX, UINT64_MAX, module.sizeBytes};
    for (uint64_t i = 0, count = 1 + below(40); i < count; i++) {
        const auto &[begin, sizeBytes] = places[below(std::size(places))];
        uint64_t at = begin + below(std::max<uint64_t>(sizeBytes, 1));
        uint64_t value = below(3) == 0 ? random64() : interesting[below(std::size(interesting))];
        size_t width = size_t{1} << below(4);
        if (at + width <= bytes.size()) {
            memcpy(bytes.data() + at, &value, width);
        }
    }
}

} // namespace

void testGo(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ByteSource source = ByteSource::ofFile(fd);
    std::string original(source.sizeBytes(), '\0');
    CHECK(source.readAt(0, original.data(), original.size()));
    close(fd);
    GoFile file(original);
    std::shared_ptr<const GoSymbols> small = file.load(8U << 20);
    std::shared_ptr<const GoSymbols> large = file.load(0);
    if (!small) {
        return;
    }
    std::optional<GoModule> module = findGoModule(file.source, *file.elf, file.sections);
    CHECK(module && module->dataOffset != 0 && !small->needsFile() && large->needsFile());
    CHECK(large->bytes() < 1024 && small->bytes() < (8U << 20));
    std::string known = describeAll(*small, ByteSource::ofMemory(nullptr, 0), *module, 60);
    CHECK(known.find("runtime.") != std::string::npos && known == describeAll(*large, file.source, *module, 60));
    // The file is gone.
    CHECK(large->find(ByteSource::ofMemory(nullptr, 0), module->text + 100).lines.empty());
    uint64_t begin = monotonicNs();
    constexpr int count = 400;
    for (int i = 0; i < count; i++) {
        std::string bytes = original;
        lie(bytes, *module);
        GoFile liar(std::move(bytes));
        for (size_t memoryBytes : {size_t{8} << 20, size_t{0}}) {
            std::shared_ptr<const GoSymbols> symbols = liar.load(memoryBytes);
            if (symbols) {
                CHECK(symbols->bytes() < (9U << 20));
                describeAll(*symbols, liar.source, *module, 60);
            }
        }
    }
    // A table of values without an end, and trees of calls that lead back to themselves.
    std::string endless = original;
    memset(endless.data() + module->offset + module->header.pcOffset, 2,
           module->header.functionOffset - module->header.pcOffset);
    memset(endless.data() + module->dataOffset, 0, 100'000);
    GoFile slow(std::move(endless));
    std::shared_ptr<const GoSymbols> symbols = slow.load(8U << 20);
    uint64_t slowBegin = monotonicNs();
    describeAll(*symbols, slow.source, *module, 20);
    CHECK(monotonicNs() - slowBegin < 20 * nsPerS);
    printf("go: ok, %d lies about %s in %.1f s\n", count, path, static_cast<double>(monotonicNs() - begin) / 1e9);
}
