// Parts of the core's test that read what language runtimes write: Go's tables and jitdumps.
#include "core-test.h"

#include "symbols/go-symbols.h"
#include "symbols/jit-dump.h"

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

/** Writes a jitdump. */
struct DumpWriter {
    std::string bytes;

    DumpWriter() {
        put32({0x4a695444, 1, 40, 62, 0, 77});
        put64({0, 0});
    }
    void put32(std::initializer_list<uint32_t> words) {
        for (uint32_t word : words) {
            bytes.append(reinterpret_cast<const char *>(&word), sizeof word);
        }
    }
    void put64(std::initializer_list<uint64_t> words) {
        for (uint64_t word : words) {
            bytes.append(reinterpret_cast<const char *>(&word), sizeof word);
        }
    }
    void load(uint64_t start, uint64_t sizeBytes, const std::string &name) {
        put32({0, static_cast<uint32_t>(56 + name.size() + 1 + sizeBytes)});
        put64({1});
        put32({77, 78});
        put64({start, start, sizeBytes, 1});
        bytes += name + '\0' + std::string(sizeBytes, 'c');
    }
    void move(uint64_t from, uint64_t to, uint64_t sizeBytes) {
        put32({1, 64});
        put64({1});
        put32({77, 78});
        put64({to, from, to, sizeBytes, 1});
    }
    void lines(uint64_t start, const std::vector<std::pair<uint32_t, uint32_t>> &lines, const std::string &file) {
        put32({2, static_cast<uint32_t>(32 + 18 * lines.size() + file.size() - 1)});
        put64({1, start, lines.size()});
        for (size_t i = 0; i < lines.size(); i++) {
            put64({start + lines[i].first});
            put32({lines[i].second, 0});
            bytes += (i == 0 ? file : "\xff") + '\0';
        }
    }
};

bool isAt(JitDump &dump, uint64_t address, const std::string &expected) {
    std::optional<JitDump::Match> match = dump.find(address);
    std::string got = "nothing";
    if (match) {
        got = std::string(match->name) + " " + std::string(match->file) + ":" + std::to_string(match->line);
    }
    if (got != expected) {
        printf("%lx: %s instead of %s\n", static_cast<unsigned long>(address), got.c_str(), expected.c_str());
    }
    return got == expected;
}

bool update(JitDump &dump, std::string_view bytes) {
    return dump.update(ByteSource::ofMemory(bytes.data(), bytes.size()));
}

/** What an honest engine writes, and when. */
void testDumpRecords() {
    JitDump dump;
    DumpWriter file;
    CHECK(!update(dump, "") && !update(dump, std::string_view(file.bytes).substr(0, 39)) && !dump.isBroken());
    file.lines(0x1000, {{0, 3}, {16, 4}, {16, 5}, {32, 9}}, "/srv/a.js");
    file.load(0x1000, 64, "first");
    file.load(0x2000, 64, "second");
    std::string_view all = file.bytes;
    // A record counts once it is whole.
    CHECK(!update(dump, all.substr(0, all.size() - 1)));
    CHECK(isAt(dump, 0x1000, "first /srv/a.js:3") && isAt(dump, 0x100f, "first /srv/a.js:3"));
    CHECK(isAt(dump, 0x1010, "first /srv/a.js:5") && isAt(dump, 0x103f, "first /srv/a.js:9"));
    CHECK(isAt(dump, 0x1040, "nothing") && isAt(dump, 0x2000, "nothing"));
    CHECK(!update(dump, all) && isAt(dump, 0x2010, "second :0"));
    file.move(0x1000, 0x5000, 64);
    file.put32({4, 24});
    file.put64({1, 0});
    file.load(0x1020, 16, "third");
    // first was named, and other code is there now.
    CHECK(update(dump, file.bytes));
    CHECK(isAt(dump, 0x5010, "first /srv/a.js:5") && isAt(dump, 0x1025, "third :0") && isAt(dump, 0x1000, "nothing"));
    file.load(0x5000, 64, "fourth");
    CHECK(update(dump, file.bytes) && isAt(dump, 0x5010, "fourth :0"));
    DumpWriter anew;
    anew.load(0x9000, 16, "anew");
    CHECK(update(dump, anew.bytes) && isAt(dump, 0x9001, "anew :0") && isAt(dump, 0x2010, "nothing"));
    // Its header is longer than the file: nothing is there yet, and nothing was replaced.
    DumpWriter early;
    early.bytes[9] = 1;
    JitDump empty;
    CHECK(!update(empty, early.bytes) && !update(empty, early.bytes) && !empty.isBroken());
    JitDump v8;
    v8.setV8(true);
    DumpWriter shifted;
    shifted.lines(0x1000, {{64 + 8, 7}}, "/a");
    shifted.load(0x1000, 64, "f");
    update(v8, shifted.bytes);
    CHECK(isAt(v8, 0x1007, "f :0") && isAt(v8, 0x1008, "f /a:7"));
}

/** What a hostile one writes. */
void testDumpLies() {
    for (int i = 0; i < 20'000; i++) {
        DumpWriter file;
        for (uint64_t k = 0, count = below(12); k < count; k++) {
            uint64_t start = below(64) * 16;
            if (below(3) == 0) {
                file.lines(start, {{0, 1}, {static_cast<uint32_t>(below(100)), 2}}, randomText(20, "abc"));
            } else if (below(3) == 0) {
                file.move(start, below(64) * 16, below(100));
            } else {
                file.load(start, below(100), randomText(20, "ab"));
            }
        }
        for (uint64_t k = 0, count = below(6); k < count; k++) {
            file.bytes[below(file.bytes.size())] = static_cast<char>(random64());
        }
        JitDump dump;
        for (size_t end = below(file.bytes.size() + 1); end <= file.bytes.size(); end += 1 + below(200)) {
            update(dump, std::string_view(file.bytes).substr(0, end));
            dump.find(below(2048));
        }
    }
    JitDump flooded;
    PerfMap map;
    DumpWriter flood;
    std::string text;
    size_t largest = 0;
    for (uint64_t i = 0; i < 400'000; i++) {
        std::string name = "function_" + std::to_string(i) + std::string(40, 'x');
        flood.lines(i * 64, {{0, 1}, {1, 2}, {2, 3}}, "/file" + std::to_string(i));
        flood.load(i * 64, 8, name);
        text += std::to_string(i) + "00 10 " + name + "\n";
        if (i % 20'000 == 0) {
            // Each update takes a part alone.
            update(flooded, flood.bytes);
            map.feed(text);
            text.clear();
            largest = std::max({largest, flooded.bytes(), map.bytes()});
        }
    }
    for (int i = 0; i < 10; i++) {
        update(flooded, flood.bytes);
    }
    CHECK(isAt(flooded, 399'999 * 64, "function_399999" + std::string(40, 'x') + " :1"));
    CHECK(flooded.lineCount() <= 150'000 && map.dropped() > 0);
    CHECK(std::max(largest, flooded.bytes()) < (10U << 20));
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

void testJitDump() {
    testDumpRecords();
    testDumpLies();
    printf("jitdump: ok\n");
}
