/**
 * Names of code made at run time, from the file that a JIT compiler writes for `perf`: /tmp/perf-PID.map, one line
 * "START SIZE name" (hex) per function, appended while the process runs. Later lines win where they overlap earlier
 * ones. Format: tools/perf/Documentation/jit-interface.txt of the kernel.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "byte-source.h"

namespace hotspan::symbols {

struct PerfMapLine {
    uint64_t start = 0;
    uint64_t sizeBytes = 0;
    /** Points into the line. */
    std::string_view name;
};

std::optional<PerfMapLine> parsePerfMapLine(std::string_view line);

class PerfMap {
  public:
    struct Limits {
        /** At most this much of a file is read at a time; of more only the end, because later lines win. */
        uint64_t readBytes = 32U << 20;
        /** With these a map takes 8 MB at most. The largest JVMs have 40,000 functions with names of 100 bytes. */
        size_t entries = 100'000;
        size_t nameBytes = 3584U << 10;
    };
    PerfMap() : PerfMap(Limits{}) {}
    explicit PerfMap(const Limits &limits) : limits_(limits) {}

    /**
     * Reads what was appended since the last call. True if code that had a name was replaced by other code: what was
     * located before at those addresses is not what is there now.
     */
    bool update(int fd);
    /** Takes text of whole lines; for update() and tests. */
    bool feed(std::string_view text);
    /** Takes code in the order in which it was made; true as update(). */
    bool add(std::span<const PerfMapLine> lines);
    struct Match {
        std::string_view name;
        uint64_t start = 0;
        uint64_t sizeBytes = 0;
    };
    /** As find(), with where the function is. */
    std::optional<Match> findCode(uint64_t address);
    /** Name of the function whose range covers the address. Valid until the next update. */
    std::optional<std::string_view> find(uint64_t address);

    const Limits &limits() const { return limits_; }
    size_t size() const { return entries_.size(); }
    size_t bytes() const { return entries_.capacity() * sizeof(Entry) + names_.capacity(); }
    /** Lines left out because of the bounds. */
    uint64_t dropped() const { return dropped_; }

  private:
    struct Entry {
        uint64_t start;
        uint32_t sizeBytes;
        /** Offset in names_. Names are appended, so a larger one is also a later one. */
        uint32_t name;
        uint32_t nameBytes;
        /** Its name was given out: losing it means that something located before is now something else. */
        uint32_t isUsed;
    };
    bool merge(std::vector<Entry> &added);
    void shrink();
    std::string_view nameOf(const Entry &entry) const { return {names_.data() + entry.name, entry.nameBytes}; }

    bool isRewritten(const ByteSource &source) const;
    void noteTail(const ByteSource &source);

    Limits limits_;
    uint64_t readTo_ = 0;
    /** The last bytes before readTo_: a JVM writes its whole map anew, into the same file. */
    std::string tail_;
    bool isCutLine_ = false;
    uint64_t dropped_ = 0;
    size_t liveNameBytes_ = 0;
    /** By start, not overlapping. */
    std::vector<Entry> entries_;
    std::string names_;
};

/** What the name of a perf-map says about the function. */
struct JitName {
    /** Builtins are V8's own code, not made from JavaScript. */
    enum class Engine { unknown, v8, v8Builtin, python } engine = Engine::unknown;
    std::string name;
    std::string file;
    uint32_t line = 0;
};

/** "JS:*fib file:///srv/a.js:3:9" is function fib of /srv/a.js, line 3; "py::run:/srv/a.py" is run of /srv/a.py. */
JitName parseJitName(std::string_view raw);
/** "file:///srv/a.js" -> "/srv/a.js". */
std::string withoutScheme(std::string_view file);
/** What all of JavaScript that is not compiled yet runs in, by its symbol in the program or its name in a perf-map. */
bool isV8Interpreter(std::string_view name);

} // namespace hotspan::symbols
