// What no real file has: instructions that compilers do not write, records that lie, pages with more rules than a byte
// counts, cache files that rot; and mutations of real files. Runs under AddressSanitizer and
// UndefinedBehaviorSanitizer.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <random>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../check.h"
#include "elf-builder.h"
#include "map-sink.h"
#include "unwind/code-scan.h"
#include "unwind/cfi-expression.h"
#include "unwind/table-cache.h"
#include "unwind/table-writer.h"
#include "unwind/unwind-table.h"

using namespace hotspan;
using namespace hotspan::unwind;

namespace {

std::optional<UnwindTable> buildOf(const std::string &file, std::string *problem = nullptr) {
    symbols::ByteSource source = symbols::ByteSource::ofMemory(file.data(), file.size());
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    std::string ignored;
    return elf ? buildUnwindTable(source, *elf, problem != nullptr ? *problem : ignored) : std::nullopt;
}

std::string little(uint64_t value, size_t sizeBytes) {
    return {reinterpret_cast<const char *>(&value), sizeBytes};
}

std::string withLength(const std::string &record) {
    std::string padded = record + std::string((8 - (record.size() + 4) % 8) % 8, '\0');
    return little(padded.size(), 4) + padded;
}

/** CIE of .eh_frame as gcc writes it: zR, pointers of 4 bytes relative to themselves, rsp + 8, return address at -8. */
std::string commonEntry(const std::string &instructions = "\x0c\x07\x08\x90\x01",
                        const std::string &augmentation = "zR", const std::string &data = "\x1b") {
    return withLength(little(0, 4) + "\x01" + augmentation + '\0' + "\x01\x78\x10" + little(data.size(), 1) + data +
                      instructions);
}

/** An FDE to stand at `offset` of the section, whose common entry is at 0. */
std::string functionEntry(size_t offset, uint64_t begin, uint32_t sizeBytes, const std::string &instructions) {
    uint64_t field = dataAddress + offset + 8;
    return withLength(little(offset + 4, 4) + little(begin - field, 4) + little(sizeBytes, 4) + '\0' + instructions);
}

std::string ehFrame(const std::string &common, const std::string &instructions, uint32_t sizeBytes = 64) {
    return common + functionEntry(common.size(), codeAddress, sizeBytes, instructions) + std::string(4, '\0');
}

std::string describeAt(const UnwindTable &table, uint64_t offset) {
    return describeRule(unwindRuleAt(table, codeAddress + offset));
}

void testExpressions() {
    auto parse = [](const std::string &bytes) {
        return parseExpression(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
    };
    Expression plt = parse(std::string("\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22", 11));
    CHECK(plt.kind == ExpressionKind::plt && plt.offset == 11);
    Expression deref = parse("\x76\x78\x06");
    CHECK(deref.kind == ExpressionKind::dereference && deref.reg == dwarfRbp && deref.offset == -8);
    Expression shifted = parse("\x77\x10\x06\x23\x08");
    CHECK(shifted.kind == ExpressionKind::dereference && shifted.reg == dwarfRsp && shifted.addend == 8);
    Expression sum = parse("\x77\x10\x08\x08\x22\x38\x1c");
    CHECK(sum.kind == ExpressionKind::address && sum.offset == 16 + 8 - 8);
    CHECK(parse("").kind == ExpressionKind::unsupported && parse("\x06").kind == ExpressionKind::unsupported);
    CHECK(parse("\x76\x78\x06\x06").kind == ExpressionKind::unsupported);
    CHECK(parse("\x77\xff").kind == ExpressionKind::unsupported);
    printf("expressions: ok\n");
}

struct ProgramCase {
    const char *instructions;
    size_t sizeBytes;
    /** Rules at 0 and at 16, where the instructions advance by 16 first. */
    const char *before;
    const char *after;
};

#define PROGRAM(text) text, sizeof(text) - 1

void testPrograms() {
    const ProgramCase cases[] = {
        {PROGRAM("\x50\x0e\x10\x86\x02"), "rsp+8", "rsp+16 rbp=*cfa-16"},
        {PROGRAM("\x02\x10\x0d\x06\x0e\x10"), "rsp+8", "rbp+16"},
        {PROGRAM("\x03\x10\x00\x0e\x18"), "rsp+8", "rsp+24"},
        {PROGRAM("\x04\x10\x00\x00\x00\x0e\x20"), "rsp+8", "rsp+32"},
        {PROGRAM("\x0e\x10\x0a\x86\x02\x50\x0b"), "rsp+16 rbp=*cfa-16", "rsp+16"},
        {PROGRAM("\x86\x02\x50\xc6"), "rsp+8 rbp=*cfa-16", "rsp+8"},
        {PROGRAM("\x05\x06\x03\x50\x06\x06"), "rsp+8 rbp=*cfa-24", "rsp+8"},
        {PROGRAM("\x11\x06\x7e\x50\x08\x06"), "rsp+8 rbp=*cfa+16", "rsp+8"},
        {PROGRAM("\x2f\x06\x02\x50\x07\x06"), "rsp+8 rbp=*cfa+16", "rsp+8 rbp=?"},
        {PROGRAM("\x12\x07\x7e\x50\x13\x7d"), "rsp+16", "rsp+24"},
        {PROGRAM("\x50\x07\x10"), "rsp+8", "end"},
        {PROGRAM("\x50\x09\x10\x05"), "rsp+8", "rsp+8 ra=rdi"},
        {PROGRAM("\x50\x0c\x0a\x00"), "rsp+8", "r10+0"},
        {PROGRAM("\x50\x0f\x03\x76\x78\x06\x10\x06\x02\x76\x00"), "rsp+8", "*(rbp-8) rbp=*rbp+0"},
        {PROGRAM("\x50\x0f\x05\x77\x10\x06\x23\x08"), "rsp+8", "*(rsp+16)+8"},
        {PROGRAM("\x50\x0f\x03\x76\x78\x06\x0e\x08"), "rsp+8", "unknown"},
        {PROGRAM("\x50\x16\x06\x02\x76\x00"), "rsp+8", "rsp+8"},
        {PROGRAM("\x50\x16\x06\x02\x77\x00"), "rsp+8", "rsp+8 rbp=?"},
        {PROGRAM("\x50\x14\x06\x02"), "rsp+8", "rsp+8 rbp=?"},
        {PROGRAM("\x50\x14\x07\x00"), "rsp+8", "rsp+8"},
        {PROGRAM("\x50\x14\x07\x01"), "rsp+8", "unknown"},
        {PROGRAM("\x50\x87\x04"), "rsp+8", "unknown"},
        {PROGRAM("\x2e\x10\x2d\x50\x0e\x0c"), "rsp+8", "unknown"},
        {PROGRAM("\x50\x0e\x80\x80\x80\x80\x01"), "rsp+8", "unknown"},
        {PROGRAM("\x50\x0b"), "rsp+8", "unknown"},
        {PROGRAM("\x50\x3e"), "rsp+8", "unknown"},
        {PROGRAM("\x01\x10\x00\x10\x00\x00\x00\x00\x00"), "unknown", "unknown"},
        {PROGRAM("\x1d\x10\x00\x00\x00\x00\x00\x00\x00\x0e\x18"), "rsp+8", "rsp+24"},
    };
    for (const ProgramCase &test : cases) {
        std::string instructions(test.instructions, test.sizeBytes);
        std::optional<UnwindTable> table =
            buildOf(makeElf({{".eh_frame", ehFrame(commonEntry(), instructions), SHF_ALLOC}}));
        CHECK(table);
        std::string before = describeAt(*table, 0);
        std::string after = describeAt(*table, 16);
        if (before != test.before || after != test.after || describeAt(*table, 63) != after ||
            describeAt(*table, 64) != "none") {
            printf("case %zu: %s, then %s; wanted %s, then %s\n", static_cast<size_t>(&test - cases), before.c_str(),
                   after.c_str(), test.before, test.after);
            exit(1);
        }
    }
    printf("programs: %zu ok\n", std::size(cases));
}

void testRecords() {
    std::string problem;
    auto tableOf = [&](const std::string &frame) {
        problem.clear();
        std::optional<UnwindTable> table = buildOf(makeElf({{".eh_frame", frame, SHF_ALLOC}}), &problem);
        CHECK(table);
        return *table;
    };
    // Signal frame: all registers in the ucontext.
    std::string signal("\x0f\x04\x77\xa0\x01\x06\x10\x06\x03\x77\xf8\x00\x10\x10\x03\x77\xa8\x01", 18);
    CHECK(describeAt(tableOf(ehFrame(commonEntry("", "zRS"), signal)), 8) == "signal rsp+40" && problem.empty());
    // Augmentations: personality and data area in front of the encoding, letters that nobody knows behind it.
    CHECK(describeAt(tableOf(ehFrame(commonEntry("\x0c\x07\x08\x90\x01", "zPLR", "\x9b\1\2\3\4\x1b\x1b"), "")), 0) ==
          "rsp+8");
    CHECK(describeAt(tableOf(ehFrame(commonEntry("\x0c\x07\x08\x90\x01", "zRB?", "\x1b\1\2\3"), "")), 0) == "rsp+8");
    CHECK(!tableOf(ehFrame(commonEntry("\x0c\x07\x08\x90\x01", "eh"), "")).hasRules() && !problem.empty());
    // Records that claim to be longer than the section, or of no common entry.
    std::string frame = ehFrame(commonEntry(), "");
    for (size_t at : {size_t{0}, commonEntry().size()}) {
        std::string lying = frame;
        lying.replace(at, 4, "\xff\xff\xff\x7f");
        CHECK(!tableOf(lying).hasRules() && !problem.empty());
    }
    std::string orphan = frame;
    orphan[commonEntry().size() + 4] = 3;
    CHECK(!tableOf(orphan).hasRules() && !problem.empty());
    // Terminators in the midst do not end it.
    std::string common = commonEntry();
    std::string two = common + std::string(8, '\0');
    two += functionEntry(two.size(), codeAddress + 32, 8, "");
    two += functionEntry(two.size(), codeAddress, 16, "\x48\x0e\x10");
    UnwindTable table = tableOf(two);
    CHECK(describeAt(table, 7) == "rsp+8" && describeAt(table, 8) == "rsp+16" && describeAt(table, 32) == "rsp+8");
    // Behind the first lie 16 bytes that are nobody's; 15 are padding.
    CHECK(describeAt(table, 16) == "none" && describeAt(table, 31) == "none" && describeAt(table, 40) == "none");
    two = common + functionEntry(common.size(), codeAddress, 17, "\x48\x0e\x10");
    two += functionEntry(two.size(), codeAddress + 32, 8, "");
    CHECK(describeAt(tableOf(two), 31) == "rsp+16");
    // One that overlaps the next ends there; of two for one function the first holds.
    two = common + functionEntry(common.size(), codeAddress, 64, "\x48\x0e\x10");
    two += functionEntry(two.size(), codeAddress + 32, 8, "");
    two += functionEntry(two.size(), codeAddress + 32, 8, "\x0e\x20");
    table = tableOf(two);
    CHECK(describeAt(table, 31) == "rsp+16" && describeAt(table, 32) == "rsp+8" && describeAt(table, 40) == "none");
    // What lies outside of the code is a leftover; what leads out of it ends there.
    std::string outside = common + functionEntry(common.size(), 0x1000, 64, "");
    CHECK(!tableOf(outside).hasRules() && problem.empty());
    std::string wide = common + functionEntry(common.size(), codeAddress + codeBytes - 16, 1 << 30, "");
    table = tableOf(wide);
    CHECK(describeAt(table, codeBytes - 1) == "rsp+8" &&
          table.pages.size() == (codeAddress + codeBytes + 0xffff) >> 16);
    printf("records: ok\n");
}

/** Code without call frame information: two ways out, one of them early, and a call with arguments on the stack. */
void testScan() {
    const std::string code("\x53"                                                  // 0: push %rbx
                           "\x85\xff"                                              // 1: test %edi, %edi
                           "\x74\x13"                                              // 3: je 24
                           "\x55"                                                  // 5: push %rbp
                           "\x48\x83\xec\x10"                                      // 6: sub $16, %rsp
                           "\x6a\x01"                                              // 10: push $1
                           "\xe8\x00\x00\x00\x00"                                  // 12: call
                           "\x48\x83\xc4\x18"                                      // 17: add $24, %rsp
                           "\x5d"                                                  // 21: pop %rbp
                           "\x5b"                                                  // 22: pop %rbx
                           "\xc3"                                                  // 23: ret
                           "\x5b"                                                  // 24: pop %rbx
                           "\xc3"                                                  // 25: ret
                           "\x55\x48\x89\xe5\x48\x81\xec\x00\x10\x00\x00\xc9\xc3", // 26: a frame by rbp
                           39);
    const std::pair<size_t, const char *> wanted[] = {
        {0, "rsp+8"},
        {1, "rsp+16"},
        {6, "rsp+24 rbp=*cfa-24"},
        {17, "rsp+48 rbp=*cfa-24"},
        {21, "rsp+24 rbp=*cfa-24"},
        {22, "rsp+16"},
        {23, "rsp+8"},
        {24, "rsp+16"},
        {25, "rsp+8"},
    };
    MapSink sink;
    CHECK(scanCode(reinterpret_cast<const uint8_t *>(code.data()), 26, 0x1000, sink));
    for (const auto &[at, rule] : wanted) {
        if (sink.at(0x1000 + at) != rule) {
            printf("at %zu: %s; wanted %s\n", at, sink.at(0x1000 + at).c_str(), rule);
            exit(1);
        }
    }
    MapSink framed;
    CHECK(scanCode(reinterpret_cast<const uint8_t *>(code.data()) + 26, 13, 0, framed));
    CHECK(framed.at(11) == "rsp+4112 rbp=*cfa-16" && framed.at(12) == "rsp+8");
    // and $-16, %rsp: where rsp is then, only rbp knows.
    MapSink aligned;
    CHECK(!scanCode(reinterpret_cast<const uint8_t *>("\x55\x48\x83\xe4\xf0\x90"), 6, 0, aligned));
    CHECK(aligned.at(1) == "rsp+16 rbp=*cfa-16" && aligned.at(5) == "none");
    for (int i = 0; i < 20000; i++) {
        std::string noise(1 + below(60), '\0');
        for (char &byte : noise) {
            byte = static_cast<char>(below(3) == 0 ? code[below(code.size())] : random64());
        }
        MapSink any;
        scanCode(reinterpret_cast<const uint8_t *>(noise.data()), noise.size(), 0, any);
        CHECK(any.rules.empty() || any.rules.rbegin()->first < noise.size());
    }
    printf("scan: ok\n");
}

/** The writer against a map, with pages of many rules, long rows over pages without rows, and gaps. */
void testWriter() {
    for (int round = 0; round < 60; round++) {
        TableWriter writer;
        std::map<uint32_t, uint32_t> model{{0, 0}};
        uint32_t ruleCount = round % 3 == 0 ? 2000 : 1 + static_cast<uint32_t>(below(300));
        uint32_t address = static_cast<uint32_t>(below(1 << 18));
        for (int i = 0; i < 4000; i++) {
            uint32_t rule = below(10) == 0 ? 0 : UNWIND_CFA_SP | static_cast<uint32_t>(below(ruleCount)) << 14;
            writer.add(address, rule);
            model[address] = rule;
            address += static_cast<uint32_t>(below(100) == 0 ? below(1 << 19) : below(1 + round % 40));
        }
        writer.add(address, UNWIND_CFA_NONE);
        model[address] = UNWIND_CFA_NONE;
        UnwindTable table = writer.finish();
        CHECK(!writer.isFull() && table.pages.size() <= (address >> 16) + 1);
        for (auto at = model.begin(); at != model.end(); ++at) {
            auto next = std::next(at);
            uint32_t last = next != model.end() ? next->first - 1 : at->first + 100000;
            CHECK(unwindRuleAt(table, at->first) == at->second && unwindRuleAt(table, last) == at->second);
        }
        std::string bytes = serializeTable("a key", table);
        CHECK(parseTable("a key", reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()));
    }
    // More rows than a page may have: what is left out is not known, and the next page is sound again.
    TableWriter writer;
    for (uint32_t i = 0; i < 65536; i++) {
        writer.add(i, UNWIND_CFA_SP | (i % 9000) << 14);
    }
    writer.add(65536, UNWIND_CFA_BP);
    writer.add(65540, UNWIND_CFA_NONE);
    UnwindTable table = writer.finish();
    CHECK(unwindPageBytes(table.pages[0]) <= UNWIND_BLOCK_BYTES && unwindRuleAt(table, 100) == (2U | 100 << 14));
    CHECK(unwindRuleAt(table, 65535) == UNWIND_CFA_UNKNOWN && unwindRuleAt(table, 65537) == UNWIND_CFA_BP);
    CHECK(unwindRuleAt(table, uint64_t{1} << 40) == UNWIND_CFA_NONE);
    printf("writer: ok\n");
}

bool isSame(const UnwindTable &a, const UnwindTable &b) {
    return a.bytes == b.bytes && a.source == b.source && a.rowCount == b.rowCount && a.pages.size() == b.pages.size() &&
           memcmp(a.pages.data(), b.pages.data(), a.pages.size() * sizeof(unwind_page)) == 0;
}

size_t filesIn(const std::string &directory) {
    size_t count = 0;
    DIR *dir = opendir(directory.c_str());
    while (const dirent *entry = dir != nullptr ? readdir(dir) : nullptr) {
        count += entry->d_type == DT_REG ? 1 : 0;
    }
    closedir(dir);
    return count;
}

std::string onlyFileIn(const std::string &directory) {
    std::string path;
    DIR *dir = opendir(directory.c_str());
    while (const dirent *entry = dir != nullptr ? readdir(dir) : nullptr) {
        path = entry->d_type == DT_REG ? directory + "/" + entry->d_name : path;
    }
    closedir(dir);
    return path;
}

void testCache(const std::string &directory) {
    std::string frame = ehFrame(commonEntry(), "\x50\x0e\x10\x86\x02");
    UnwindTable table = *buildOf(makeElf({{".eh_frame", frame, SHF_ALLOC}}));
    TableCache cache(directory);
    CHECK(!cache.load("one") && cache.store("one", table) && isSame(*cache.load("one"), table) && !cache.load("two"));
    CHECK(!cache.store("none", UnwindTable{}) && !TableCache("").store("one", table) && !TableCache("").load("one"));
    CHECK(!TableCache("/proc/nowhere").store("one", table));
    // Any bit that flips, and any end, makes the file as good as not there; it is replaced.
    std::string path = onlyFileIn(directory);
    symbols::UniqueFd fd(open(path.c_str(), O_RDWR));
    struct stat status {};
    CHECK(fstat(fd.get(), &status) == 0 && status.st_size > 40);
    for (off_t at = 0; at < status.st_size; at++) {
        uint8_t byte = 0;
        CHECK(pread(fd.get(), &byte, 1, at) == 1);
        uint8_t damaged = byte ^ static_cast<uint8_t>(1U << below(8));
        CHECK(pwrite(fd.get(), &damaged, 1, at) == 1 && !cache.load("one"));
        CHECK(pwrite(fd.get(), &byte, 1, at) == 1);
    }
    CHECK(cache.load("one") && ftruncate(fd.get(), status.st_size - 1) == 0 && !cache.load("one"));
    CHECK(ftruncate(fd.get(), 0) == 0 && !cache.load("one") && cache.store("one", table) && cache.load("one"));
    CHECK(filesIn(directory) == 1);
    // Room for four blocks: the one that was not used for longest gives way.
    TableCache small(directory, 4 * 4096);
    for (const char *key : {"two", "three", "four"}) {
        usleep(20000);
        CHECK(small.store(key, table));
    }
    usleep(20000);
    CHECK(filesIn(directory) == 4 && small.load("one"));
    usleep(20000);
    CHECK(small.store("five", table) && filesIn(directory) == 4 && small.load("one") && !small.load("two"));
    CHECK(small.load("three") && small.load("five") && !TableCache(directory, 100).store("six", table));
    // Files of others stay; what a writer left who died is removed.
    std::string left = directory + "/0123.77.part";
    std::string other = directory + "/notes.txt";
    for (const std::string &name : {left, other}) {
        symbols::UniqueFd made(open(name.c_str(), O_CREAT | O_WRONLY, 0600));
        timespec old[2] = {{1000, 0}, {1000, 0}};
        CHECK(made && futimens(made.get(), old) == 0);
    }
    CHECK(TableCache(directory, 4 * 4096).store("six", table));
    CHECK(access(left.c_str(), F_OK) != 0 && access(other.c_str(), F_OK) == 0);
    printf("cache: ok\n");
}

double nowS() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/** Whatever the bytes are: no crash, no hang, and what comes out is sound. */
void testMutations(const char *path, int rounds) {
    symbols::UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
    symbols::ByteSource source = symbols::ByteSource::ofFile(fd.get());
    std::string whole(static_cast<size_t>(source.sizeBytes()), '\0');
    CHECK(fd && source.readAt(0, whole.data(), whole.size()));
    double start = nowS();
    size_t built = 0;
    for (int i = 0; i < rounds; i++) {
        std::string file = whole;
        for (uint64_t changes = 1 + below(20); changes > 0; changes--) {
            // Half of them in the headers, at both ends of the file.
            uint64_t from = below(4) != 0 ? 0 : file.size() - std::min<size_t>(file.size(), 4096);
            size_t at = below(2) != 0 ? from + below(std::min<size_t>(file.size(), 1024)) : below(file.size());
            file[std::min(at, file.size() - 1)] = static_cast<char>(below(3) == 0 ? 0xff : random64());
        }
        if (below(8) == 0) {
            file.resize(below(file.size()));
        }
        if (std::optional<UnwindTable> table = buildOf(file)) {
            std::string bytes = serializeTable("key", *table);
            CHECK(parseTable("key", reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()));
            built += table->hasRules() ? 1 : 0;
        }
    }
    double perRoundMs = (nowS() - start) / rounds * 1e3;
    printf("%s: %d mutations, %zu with rules, %.1f ms each\n", path, rounds, built, perRoundMs);
    CHECK(built > 0 && perRoundMs < 2000);
}

} // namespace

int main(int argc, char **argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    CHECK(argc >= 2);
    testExpressions();
    testPrograms();
    testRecords();
    testScan();
    testWriter();
    testCache(argv[1]);
    for (int i = 2; i < argc; i++) {
        testMutations(argv[i], 300);
    }
    printf("all parts passed\n");
    return 0;
}
