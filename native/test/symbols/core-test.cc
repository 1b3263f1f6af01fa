// The symbolizer's core under the sanitizers: bounds, orders that do not occur in a peaceful life, and inputs that lie.
// Arguments: ELF files to mutate. Prints one line a part; ends with 1 at the first check that fails.
#include "core-test.h"

namespace {

void testMaps() {
    auto line = parseMapsLine("7f00-7fff r-xp 00026000 fe:01 326269                     /usr/lib/a b.so (deleted)");
    CHECK(line && line->start == 0x7f00 && line->end == 0x7fff && line->isExecutable && line->fileOffset == 0x26000);
    CHECK(line->deviceMajor == 0xfe && line->deviceMinor == 1 && line->inode == 326269);
    CHECK(line->path == "/usr/lib/a b.so (deleted)");
    CHECK(parseMapsLine("0-1 --xp 00000000 00:00 0 ")->path.empty());
    for (const char *bad :
         {"", "x", "1-", "2-1 r-xp 0 0:0 0", "1-1 r-xp 0 0:0 0", "1-2 r-x", "1-2 r-xp 0 0 0",
          "ffffffffffffffffff-2 r-xp 0 0:0 0", "1-2 r-xp zz 0:0 0", "1-2 r-xp 0 0:0 99999999999999999999999"}) {
        CHECK(!parseMapsLine(bad));
    }
    // However the text is cut, the result is the same.
    const std::string text = "1000-2000 r-xp 00000000 08:01 5 /bin/a\n2000-3000 rw-p 00001000 08:01 5 /bin/a\n"
                             "3000-4000 r-xp 00000000 00:00 0 \n4000-5000 r-xp 00002000 08:01 6 /lib/with\\012feed\n";
    for (size_t cut = 0; cut <= text.size(); cut++) {
        MapsParser parser(100);
        CHECK(parser.feed(std::string_view(text).substr(0, cut)) && parser.feed(std::string_view(text).substr(cut)));
        Mappings maps = parser.take();
        CHECK(maps.mappings.size() == 3 && maps.paths[maps.mappings[2].path] == "/lib/with\nfeed");
        CHECK(maps.find(0xfff) == nullptr && maps.find(0x1000) && maps.find(0x1fff) && !maps.find(0x2000));
        CHECK(maps.find(0x4fff)->inode == 6 && !maps.find(0x5000) && !maps.find(UINT64_MAX));
    }
    // Too many mappings, and too many long names: bounded, and told.
    MapsParser parser(1000);
    std::string many;
    for (int i = 0; i < 5000; i++) {
        char begin[64];
        snprintf(begin, sizeof begin, "%x-%x r-xp 0 8:1 %d /", 0x1000 * i, 0x1000 * (i + 1), i + 1);
        many += begin + std::string(4000, static_cast<char>('a' + i % 26)) + "\n";
    }
    parser.feed(many);
    Mappings maps = parser.take();
    CHECK(maps.isTruncated && maps.mappings.size() <= 1000 && maps.bytes() < 2'000'000);
    for (int i = 0; i < 20000; i++) {
        MapsParser any(50);
        any.feed(randomText(300, i % 2 ? "0123456789abcdef-x r:p\n/" : ""));
        any.take();
    }
    printf("maps: ok\n");
}

void testMounts() {
    MountLine mount;
    CHECK(parseMountLine("36 35 0:98 /mnt1 /mnt/a rw,noatime master:1 shared:2 - fuse.sshfs user@host: rw", mount));
    CHECK(mount.deviceMajor == 0 && mount.deviceMinor == 98 && mount.mountPoint == "/mnt/a" &&
          mount.fileSystem == "fuse.sshfs");
    CHECK(parseMountLine("1 1 8:1 / / rw - ext4 /dev/sda1 rw", mount) && mount.fileSystem == "ext4");
    for (const char *bad : {"", "1", "1 1 8 / / rw - ext4", "1 1 8:1 / / rw ext4", "1 1 8:1 / / rw - "}) {
        CHECK(!parseMountLine(bad, mount));
    }
    CHECK(!isFuseDevice(getpid(), 0, 0xffffff) && !isBelowFuse(getpid(), "/proc/self"));
    for (int i = 0; i < 20000; i++) {
        std::string line = randomText(80, i % 2 ? "0123 :/-fuse." : "");
        parseMountLine(line, mount);
    }
    printf("mounts: ok\n");
}

void testLocations() {
    LocationTable table(20'000);
    std::map<uint32_t, std::pair<uint32_t, uint64_t>> given;
    uint32_t last = 0;
    for (uint32_t i = 0; i < 200'000; i++) {
        // Half of it old acquaintances, so that hits, new ones and forgotten ones mix.
        uint32_t module = static_cast<uint32_t>(below(3));
        uint64_t address = below(2) ? i : below(i + 1);
        uint32_t id = table.intern(module, address);
        CHECK(id != LocationTable::noLocation);
        auto [entry, isNew] = given.try_emplace(id, module, address);
        // An id means one thing for ever.
        CHECK(entry->second == std::make_pair(module, address));
        CHECK(!isNew || id > last);
        last = isNew ? id : last;
        CHECK(table.intern(module, address) == id);
    }
    CHECK(table.size() <= 20'000 && table.forgotten() > 0 && table.bytes() < 20'000 * 40);
    size_t found = 0;
    for (const auto &[id, what] : given) {
        std::optional<Location> location = table.find(id);
        CHECK(!location || (location->module == what.first && location->address == what.second));
        found += location.has_value();
    }
    CHECK(found == table.size());
    CHECK(!table.find(0) && !table.find(last + 1) && !table.find(UINT32_MAX));
    printf("locations: ok (%zu kept, %lu forgotten)\n", table.size(), static_cast<unsigned long>(table.forgotten()));
}

void testGlob() {
    CHECK(matchesGlob("*", "") && matchesGlob("*", "abc") && matchesGlob("a*c", "abbbc") &&
          !matchesGlob("a*c", "abbbd"));
    CHECK(matchesGlob("vfs_?ead", "vfs_read") && matchesGlob("[a-c]x", "bx") && !matchesGlob("[!a-c]x", "bx"));
    CHECK(matchesGlob("[]x", "[]x") && matchesGlob("a[", "a[") && !matchesGlob("", "a") && matchesGlob("", ""));
    CHECK(matchesGlob("*a*b*c*", "xxaxxbxxc") && !matchesGlob("*a*b*c*d", "xxaxxbxxc"));
    // The classic that takes exponential time where every star is tried again.
    std::string stars, text(5000, 'a');
    for (int i = 0; i < 200; i++) {
        stars += "a*";
    }
    uint64_t begin = monotonicNs();
    CHECK(!matchesGlob(stars + "b", text));
    CHECK(monotonicNs() - begin < 20 * nsPerS);
    for (int i = 0; i < 50000; i++) {
        matchesGlob(randomText(12, "ab*?[]!-"), randomText(12, "ab[]"));
    }
    printf("glob: ok\n");
}

/** As Node 20, 22 and 24 write them: one function is one name in all tiers. */
void testV8Names() {
    struct Case {
        const char *raw;
        const char *name;
        const char *file;
        uint32_t line;
    };
    for (const Case &c : std::initializer_list<Case>{
             {"JS:~grow file:///srv/j.mjs:1:123", "grow", "/srv/j.mjs", 1},
             {"JS:^grow file:///srv/j.mjs:1:123", "grow", "/srv/j.mjs", 1},
             {"JS:+grow file:///srv/j.mjs:1:123", "grow", "/srv/j.mjs", 1},
             {"JS:*grow file:///srv/j.mjs:1:123", "grow", "/srv/j.mjs", 1},
             {"JS:+'grow file:///srv/j.mjs:1:123", "grow", "/srv/j.mjs", 1},
             {"JS:*'grow file:///srv/j.mjs:1:123", "grow", "/srv/j.mjs", 1},
             {"LazyCompile:*grow /srv/j.js:7:9", "grow", "/srv/j.js", 7},
             {"Function:~grow /srv/j.js:7:9", "grow", "/srv/j.js", 7},
             {"JS:*'get volume file:///srv/j.mjs:1:23", "get volume", "/srv/j.mjs", 1},
             {"JS:+'#priv file:///srv/j.mjs:1:243", "#priv", "/srv/j.mjs", 1},
             {"JS:*'on data /srv/j.js:3:39", "on data", "/srv/j.js", 3},
             {"JS:*' file:///srv/j.mjs:1:1", "(anonymous)", "/srv/j.mjs", 1},
             {"JS:* file:///srv/j.mjs:9:206", "(anonymous)", "/srv/j.mjs", 9},
             {"JS:^'quoted' /srv/j.js:5:1", "'quoted'", "/srv/j.js", 5},
             {"JS:*''quoted' /srv/j.js:5:1", "'quoted'", "/srv/j.js", 5},
             {"JS:*", "(anonymous)", "", 0},
         }) {
        JitName name = parseJitName(c.raw);
        CHECK(name.name == c.name && name.file == c.file && name.line == c.line);
        CHECK(name.engine == JitName::Engine::v8);
    }
    // The second form came with Node 24.
    CHECK(parseJitName("RegExp:a(b+)c").engine == JitName::Engine::v8);
    CHECK(parseJitName("RegExp.> src: 'a(b+)c' flags: ''").engine == JitName::Engine::v8);
}

void testPerfMap() {
    PerfMap map;
    CHECK(!map.feed("1000 100 first\n2000 0x100 second one\nnonsense\n0x3000 10 JS:*f file:///a.js:1:2\n"));
    CHECK(map.size() == 3 && *map.find(0x10ff) == "first" && !map.find(0x1100) && *map.find(0x2000) == "second one");
    // Later wins; told only where a name was given out.
    CHECK(map.feed("1080 100 newer\n"));
    CHECK(*map.find(0x1080) == "newer" && !map.find(0x1000) && map.size() == 3);
    CHECK(!map.feed("3008 8 other\n") && map.feed("2000 100 third\n") && !map.feed("2000 100 third\n"));
    CHECK(map.feed("0 1000000 all\n") && map.size() == 1 && *map.find(0x500000) == "all");
    PerfMap small(PerfMap::Limits{1 << 20, 1000, 100'000});
    for (int i = 0; i < 5000; i++) {
        char line[64];
        snprintf(line, sizeof line, "%x 10 f%d\n", 0x1000 + i * 0x10, i);
        small.feed(line);
    }
    CHECK(small.size() <= 1000 && *small.find(0x1000 + 4999 * 0x10) == "f4999" && small.dropped() > 0);
    // A model that does it byte by byte agrees.
    PerfMap random;
    std::map<uint64_t, std::string> bytes;
    std::map<std::string, std::pair<uint64_t, uint64_t>> ranges;
    for (int i = 0; i < 3000; i++) {
        uint64_t start = below(400), size = 1 + below(20);
        std::string name = "n" + std::to_string(i);
        char line[64];
        snprintf(line, sizeof line, "%lx %lx %s\n", static_cast<unsigned long>(start), static_cast<unsigned long>(size),
                 name.c_str());
        random.feed(line);
        // A function that is overwritten anywhere is gone as a whole.
        for (uint64_t at = start; at < start + size; at++) {
            if (auto was = bytes.find(at); was != bytes.end()) {
                std::string gone = was->second;
                std::erase_if(bytes, [&](const auto &entry) { return entry.second == gone; });
            }
        }
        for (uint64_t at = start; at < start + size; at++) {
            bytes[at] = name;
        }
        uint64_t probe = below(440);
        std::optional<std::string_view> name2 = random.find(probe);
        CHECK(bytes.contains(probe) ? name2 == std::string_view(bytes[probe]) : !name2);
    }
    for (int i = 0; i < 20000; i++) {
        PerfMap any;
        any.feed(randomText(200, i % 2 ? "0123456789abcdef x\n:~JS" : ""));
        any.find(below(1000));
        parseJitName(randomText(60, "JS:~^*+'LazyCompile file///.:129 py"));
    }
    testV8Names();
    JitName name = parseJitName("LazyCompile:*fill up /srv/my app/a.js:31:9");
    CHECK(name.name == "fill up" && name.file == "/srv/my app/a.js" && name.line == 31);
    name = parseJitName("JS:~ node:internal/main:12:1");
    CHECK(name.name == "(anonymous)" && name.file == "node:internal/main" && name.line == 12);
    name = parseJitName("py::run:/srv/a.py");
    CHECK(name.name == "run" && name.file == "/srv/a.py" && name.engine == JitName::Engine::python);
    CHECK(parseJitName("Builtin:ArrayMap").name == "Builtin:ArrayMap");
    printf("perf-map: ok\n");
}

void testPerfMapFile() {
    int fd = memfd_create("map", MFD_CLOEXEC);
    PerfMap map(PerfMap::Limits{1 << 20, 500'000, 32U << 20});
    auto put = [&](const std::string &text) {
        CHECK(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    };
    put("1000 10 whole\n2000 10 ha");
    map.update(fd);
    CHECK(map.size() == 1);
    put("lf\n3000 10 next\n");
    map.update(fd);
    CHECK(map.size() == 3 && *map.find(0x2000) == "half");
    // A JVM writes all of it anew, longer than before, into the same file.
    std::string anewText = "1000 10 whole\n1800 10 between\n2000 10 half\n3000 10 other\n";
    CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    put(anewText);
    CHECK(*map.find(0x3000) == "next" && map.update(fd));
    CHECK(*map.find(0x3000) == "other" && *map.find(0x1800) == "between" && *map.find(0x2000) == "half");
    put("3100 10 appended\n");
    CHECK(!map.update(fd) && map.find(0x3100));
    // Two gigabytes of it (sparse): the end is what counts, and memory stays where it was.
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    CHECK(ftruncate(fd, 2LL << 30) == 0 && lseek(fd, 0, SEEK_END) > 0);
    put("\n4000 10 last\n");
    uint64_t begin = monotonicNs();
    map.update(fd);
    getrusage(RUSAGE_SELF, &after);
    CHECK(*map.find(0x4000) == "last" && monotonicNs() - begin < 60 * nsPerS);
    CHECK(after.ru_maxrss - before.ru_maxrss < 10'000);
    // A new process of the same pid begins its file anew.
    CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    put("5000 10 anew\n");
    map.update(fd);
    CHECK(map.size() == 1 && *map.find(0x5000) == "anew");
    close(fd);
    printf("perf-map file: ok\n");
}

void testDemangle() {
    auto is = [](const char *symbol, const char *name) {
        std::string got = demangle(symbol).name;
        if (got != name) {
            printf("%s: %s instead of %s\n", symbol, got.c_str(), name);
            exit(1);
        }
    };
    is("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt");
    is("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h05af221e174051e9E",
       "<Test + 'static as foo::Bar<Test>>::bar");
    is("_ZN3foo17h05af221e174051e9E.llvm.123456", "foo");
    is("_RNvC6_123foo3bar", "123foo::bar");
    is("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}");
    is("_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
       "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>");
    is("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y", "utf8_idents::საჭმელად_გემრიელი_სადილი");
    is("_RNvYFG0_RL1_hRL0_tEuNtC1c1T1m", "<for<'a, 'b> fn(&'a u8, &'b u16) as c::T>::m");
    is("_RMCs4fqI2P2rA04_13const_genericINtB0_6SignedKanb_E", "<const_generic::Signed<-11>>");
    is("_ZN3foo3barEv", "foo::bar()");
    is("_Znwm@plt", "operator new(unsigned long)@plt");
    for (const char *plain :
         {"", "main", "_R", "_RNv", "_RNvC", "_Z", "_ZN", "_ZN5", "_RB_", "_RNvB_3foo", "_RNvC99999999999999999999a"}) {
        is(plain, plain);
    }
    // Names that blow up: doubling by substitutions, by back references, deep nesting.
    std::string bomb = "_Z1f1AIiiE", digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (char digit : digits) {
        bomb += std::string("S_IS") + digit + "_S" + digit + "_E";
    }
    std::string rustBomb = "_RIC0";
    for (int i = 0; i < 40; i++) {
        rustBomb += "TB" + std::string(i == 0 ? "" : "0") + "_B_E";
    }
    uint64_t begin = monotonicNs();
    CHECK(demangle(bomb).name.size() <= maxDemangledBytes && demangle(rustBomb + "E").name.size() <= maxDemangledBytes);
    CHECK(demangle("_RINvC1a1bRRRR" + std::string(100000, 'R') + "uE").name.size() <= maxDemangledBytes);
    CHECK(demangle("_Z1f" + std::string(100000, 'P') + "i").name.size() <= maxDemangledBytes);
    const std::string seeds[] = {"_RINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_"
                                 "4iter8iterator8Iterator9rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
                                 "_RNvMCs4fqI2P2rA04_13const_genericINtB4_3FooKj7b_E3foo",
                                 "_ZNSt3mapIiSsSt4lessIiESaISt4pairIKiSsEEEixERS3_",
                                 "_ZN71_$LT$Test$u20$$u2b$GT$3bar17h05af221e174051e9E"};
    for (int i = 0; i < 200'000; i++) {
        std::string symbol = seeds[below(4)];
        for (uint64_t n = 1 + below(6); n > 0; n--) {
            symbol[2 + below(symbol.size() - 2)] = "0123456789_EINCMXYRTSFDBLKGuabhsnpz$."[below(37)];
        }
        if (below(4) == 0) {
            symbol.resize(below(symbol.size()) + 1);
        }
        CHECK(demangle(symbol).name.size() <= maxDemangledBytes);
    }
    CHECK(monotonicNs() - begin < 300 * nsPerS);
    printf("demangle: ok\n");
}

void testKallsyms() {
    KernelTable table =
        KernelTable::parse("ffffffff81000000 T _stext\nffffffff81000000 T _text\nffffffff81000010 t __pfx_one\n"
                           "ffffffff81000020 t one\nffffffff81000100 T two\nffffffff81000100 t __two\n"
                           "ffffffff81000200 D data\nffffffff81002000 T _etext\n"
                           "ffffffffc0001000 t mod_fn\t[mod]\nffffffffc0002000 t bpf_prog_ab_x\t[bpf]");
    CHECK(!table.isRestricted() && table.find(0xffffffff81000021)->name == "one" &&
          table.find(0xffffffff81000100)->name == "two");
    CHECK(table.find(0xffffffff81000210)->name == "two" && !table.find(0xffffffff81002010) && !table.find(0x1000));
    CHECK(table.find(0xffffffffc0001004)->module == "mod" && table.find(0xffffffffc0002000)->module == "bpf");
    CHECK(!table.isDynamic(0xffffffff81000021) && table.isDynamic(0xffffffffc0001000));
    KernelTable hidden =
        KernelTable::parse("0000000000000000 T _stext\n0000000000000000 T vfs_read\n0000000000000000 t f\t[m]\n");
    CHECK(hidden.isRestricted() && !hidden.find(0xffffffff81000021) && !hidden.find(0));
    CHECK(KernelTable::parse("").isRestricted());
    for (int i = 0; i < 5000; i++) {
        KernelTable any = KernelTable::parse(randomText(300, i % 2 ? "0f8 tT\n[]\tab" : ""));
        any.find(random64());
    }
    printf("kallsyms: ok\n");
}

} // namespace

int main(int argc, char **argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    testMaps();
    testMounts();
    testLocations();
    testGlob();
    testPerfMap();
    testPerfMapFile();
    testJitDump();
    testKallsyms();
    testDemangle();
    testSharedNames();
    testEngine();
    testManyMappings();
    for (int i = 1; i < argc; i++) {
        testElf(argv[i]);
        testGo(argv[i]);
    }
    printf("all parts passed\n");
    return 0;
}
