// ELF files that lie, and the engine over real and invented processes; see core-test.cc.
#include "core-test.h"

#include "symbols/program-names.h"

namespace {

/** Lines and inlined functions of a file of a stranger: in time, and in memory that has to do with its size. */
void readDebug(const std::string &bytes) {
    std::shared_ptr<DebugFile> program = DebugFile::ofMemory(bytes.data(), bytes.size());
    ProgramNames names = program ? loadProgramNames(program, {0, "/nothing/there"}, "") : ProgramNames();
    if (!names.debug) {
        return;
    }
    WorkLimit limit(2000, nullptr);
    for (int i = 0; i < 8; i++) {
        names.debug->find(0x1000 + below(0x1000), limit);
    }
    names.debug->settle(1U << 20);
    CHECK(names.debug->bytes() < 64 * bytes.size() + (4U << 20));
}

/** All that is done with a file of a stranger. */
void readAll(const std::string &bytes) {
    ByteSource source = ByteSource::ofMemory(bytes.data(), bytes.size());
    std::optional<ElfFile> file = ElfFile::read(source);
    if (!file) {
        return;
    }
    std::vector<Section> sections = file->readSections(source);
    SymbolTable table = loadSymbols(source, *file, sections, {});
    CHECK(table.bytes() < 64 * bytes.size() + (1 << 20));
    for (int i = 0; i < 8; i++) {
        table.find(below(1 << 20));
        file->addressOf(random64() >> below(64));
        file->fileOffsetOf(random64() >> below(64));
    }
    CHECK(file->buildId().size() <= 128);
    readDebug(bytes);
}

/** Values that break arithmetic, or nearly do. */
uint64_t evilNumber(size_t fileBytes) {
    const uint64_t numbers[] = {0,
                                1,
                                7,
                                0x7f,
                                0xff,
                                0x7fff,
                                0xffff,
                                0x7fffffff,
                                0xffffffff,
                                0x7fffffffffffffff,
                                UINT64_MAX,
                                UINT64_MAX - 7,
                                fileBytes,
                                fileBytes - 1,
                                fileBytes + 1,
                                0x8000000000000000,
                                random64(),
                                below(fileBytes)};
    return numbers[below(std::size(numbers))];
}

void mutate(std::string &bytes) {
    auto *header = reinterpret_cast<Elf64_Ehdr *>(bytes.data());
    size_t sectionsAt = header->e_shoff, segmentsAt = header->e_phoff;
    for (uint64_t n = 1 + below(4); n > 0; n--) {
        size_t width = size_t{1} << below(4);
        uint64_t value = evilNumber(bytes.size());
        size_t at = 0;
        switch (below(5)) {
        case 0:
            at = below(sizeof(Elf64_Ehdr));
            break;
        case 1:
            at = segmentsAt + below(12 * sizeof(Elf64_Phdr));
            break;
        case 2:
        case 3:
            // Fields of section headers, each at its place.
            at = sectionsAt + 8 * below(8 * 32);
            width = 8;
            break;
        default:
            at = below(bytes.size());
        }
        if (at + width <= bytes.size()) {
            memcpy(bytes.data() + at, &value, width);
        }
    }
    if (below(8) == 0) {
        bytes.resize(below(bytes.size()) + 1);
    }
}

} // namespace

void testElf(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ByteSource source = ByteSource::ofFile(fd);
    std::string original(source.sizeBytes(), '\0');
    CHECK(source.readAt(0, original.data(), original.size()));
    readAll(original);
    std::optional<ElfFile> file = ElfFile::read(source);
    CHECK(file && loadSymbols(source, *file, file->readSections(source), {}).size() > 0);
    int count = original.size() > 100'000 ? 300 : 20'000;
    uint64_t begin = monotonicNs();
    for (int i = 0; i < count; i++) {
        std::string bytes = original;
        mutate(bytes);
        readAll(bytes);
        if (i % 20 == 0) {
            // The way with a file, searching and disassembling.
            int copy = memfd_create("elf", MFD_CLOEXEC);
            CHECK(write(copy, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
            findProbeTargets("/proc/self/fd/" + std::to_string(copy), "*a*", 100);
            close(copy);
        }
    }
    for (size_t size = 0; size < std::min<size_t>(original.size(), 4096); size += 7) {
        readAll(original.substr(0, size));
    }
    close(fd);
    printf("elf: ok, %d mutations of %s in %.1f s\n", count, path, static_cast<double>(monotonicNs() - begin) / 1e9);
}

/** Symbols that all share one long name, or long tails of it: memory must not follow the claim. */
void testSharedNames() {
    SymbolTableBuilder::Limits limits{2'000'000, 8U << 20};
    SymbolTableBuilder builder(limits);
    std::string name(8000, 'x');
    size_t added = 0;
    while (builder.add({1000 + 16 * added, 16, 0, name, SymbolRank::globalFunction})) {
        added++;
    }
    SymbolTable table = builder.build();
    CHECK(added == (8U << 20) / 8000 && table.isTruncated() && table.bytes() < (10U << 20));
    CHECK(table.find(1000 + 16 * 5 + 3)->name == name);
    printf("shared names: ok\n");
}

[[gnu::noinline]] int markedFunction(int x) {
    return x * 5 + static_cast<int>(below(2));
}

void testEngine() {
    SymbolEngine engine(32U << 20);
    uint64_t address = reinterpret_cast<uint64_t>(&markedFunction);
    uint32_t id = 0;
    engine.locate(getpid(), {&address, 1}, false, &id);
    std::vector<Frame> frames = engine.describe({&id, 1});
    CHECK(frames[0].lines[0].name.find("markedFunction(int)") != std::string::npos && !frames[0].isGuess);
    // Processes that come and go while they are looked at, and addresses that lead nowhere.
    uint64_t begin = monotonicNs();
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (i % 3 == 0) {
                execl("/bin/true", "true", nullptr);
            }
            _exit(0);
        }
        uint64_t addresses[64];
        uint32_t ids[64];
        for (uint64_t &one : addresses) {
            one = below(4) ? random64() >> below(64) : address;
        }
        engine.locate(pid, addresses, false, ids);
        if (i % 2) {
            waitpid(pid, nullptr, 0);
            engine.processExited(pid);
        } else {
            engine.processChanged(pid);
        }
        engine.locate(pid, addresses, i % 5 == 0, ids);
        for (const Frame &frame : engine.describe(ids)) {
            CHECK(frame.module && !frame.lines.empty() && !frame.lines[0].name.empty());
        }
        if (i % 2 == 0) {
            waitpid(pid, nullptr, 0);
        }
    }
    uint32_t strange[] = {0, UINT32_MAX, 77777777};
    for (const Frame &frame : engine.describe(strange)) {
        CHECK(frame.kind == FrameKind::unresolved && frame.isGuess && frame.lines[0].name == "[unknown]+0x0");
    }
    // A process that misses all the time does not make us read its mappings all the time.
    uint64_t missesBegin = monotonicNs();
    for (int i = 0; i < 100'000; i++) {
        uint64_t nowhere = 8 * static_cast<uint64_t>(i);
        engine.locate(getpid(), {&nowhere, 1}, false, &id);
    }
    CHECK(monotonicNs() - missesBegin < 20 * nsPerS);
    CHECK(engine.memory().bytes < 64U << 20);
    printf("engine: ok in %.1f s\n", static_cast<double>(monotonicNs() - begin) / 1e9);
}

/** A child with tens of thousands of executable mappings, in which nothing is ever found. */
void testManyMappings() {
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), pages = 60'000;
        auto *memory = static_cast<char *>(
            mmap(nullptr, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        for (size_t i = 0; memory != MAP_FAILED && i < pages; i += 2) {
            mprotect(memory + i * page, page, PROT_READ | PROT_EXEC);
        }
        CHECK(write(ready[1], "x", 1) == 1);
        pause();
        _exit(0);
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    SymbolEngine engine(32U << 20);
    uint64_t begin = monotonicNs(), calls = 0;
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    while (monotonicNs() - begin < 2 * nsPerS) {
        uint64_t nowhere = 8 * ++calls;
        uint32_t id = 0;
        engine.locate(pid, {&nowhere, 1}, false, &id);
        usleep(100);
    }
    getrusage(RUSAGE_SELF, &after);
    MemoryUse use = engine.memory();
    CHECK(use.bytes < 16U << 20);
    long usedUs =
        (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1'000'000L +
        after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    // Reading them once takes tens of milliseconds, so a reader that does so at every miss would do nothing else.
    CHECK(usedUs < 1'000'000);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    printf("many mappings: ok, %ld ms of CPU time for %lu misses in 2 s\n", usedUs / 1000,
           static_cast<unsigned long>(calls));
}
