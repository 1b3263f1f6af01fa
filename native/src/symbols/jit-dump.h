/**
 * Names and lines of code made at run time, from the file that a JIT compiler writes for `perf inject`: jit-PID.dump,
 * which the process maps as executable to make it known. Read from where the last reading ended, a bounded piece at a
 * time; the code itself is skipped. Format: tools/perf/Documentation/jitdump-specification.txt of the kernel.
 */
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perf-map.h"

namespace hotspan::symbols {

/** "/srv/jit-123.dump", also with " (deleted)". */
bool isJitDumpPath(std::string_view path);

class JitDump {
  public:
    struct Limits {
        /** Looked at in one update. What is left is read by the next one. */
        size_t records = 100'000;
        /** Kept of all functions, each of which counts as eight more. Beyond it the older half goes; names have
         * PerfMap's bounds. */
        size_t lines = 150'000;
        size_t fileNameBytes = 512U << 10;
    };
    /** With these bounds a dump takes 9 MB at most. */
    JitDump() : JitDump(Limits{}, PerfMap::Limits{0, 60'000, 2560U << 10}) {}
    JitDump(const Limits &limits, const PerfMap::Limits &names) : limits_(limits), names_(names) {}

    /** V8 writes the addresses of lines as they are in the file that `perf inject` makes: behind an ELF header. */
    void setV8(bool isV8) { isV8_ = isV8; }
    /** Reads on. True if code that had a name was replaced by other code, as PerfMap::update. */
    bool update(const ByteSource &source);

    struct Match {
        /** Valid until the next update. */
        std::string_view name;
        /** Where the address itself was compiled from; empty and 0 where the engine does not say. */
        std::string_view file;
        uint32_t line = 0;
    };
    std::optional<Match> find(uint64_t address);

    size_t size() const { return names_.size(); }
    size_t lineCount() const { return lineCount_; }
    size_t bytes() const;
    /** The file is none of the format, or damaged: it is read no further. */
    bool isBroken() const { return isBroken_; }

  private:
    struct Line {
        /** From the beginning of the function. */
        uint32_t offset;
        uint32_t line;
        uint32_t file;
    };
    struct Lines {
        uint64_t sequence = 0;
        std::vector<Line> lines;
    };
    class Reader;
    struct Record {
        uint32_t type, sizeBytes;
        uint64_t timestamp;
    };

    bool readHeader(Reader &reader, uint64_t end);
    void takeRecord(Reader &reader, const Record &record);
    void takeLoad(Reader &reader, const Record &record);
    void takeMove(Reader &reader);
    void takeLines(Reader &reader, const Record &record);
    void flush();
    void setLines(uint64_t start, Lines lines);
    uint32_t fileOf(std::string_view name);
    void shrinkLines();

    Limits limits_;
    bool isV8_ = false;
    bool isBroken_ = false;
    uint64_t readTo_ = 0;
    uint64_t sequence_ = 0;
    PerfMap names_;
    /** Read in this update and not yet in names_; the texts of their names one after the other. */
    std::vector<PerfMapLine> loaded_;
    std::string loadedNames_;
    bool isReplaced_ = false;
    /** Lines come before the code that they are of. */
    uint64_t pendingStart_ = 0;
    Lines pending_;
    /** By the beginning of the function. */
    std::map<uint64_t, Lines> lines_;
    size_t lineCount_ = 0;
    /** The first is empty. */
    std::vector<std::string> files_{""};
    std::map<std::string, uint32_t, std::less<>> fileByName_;
    size_t fileNameBytes_ = 0;
};

} // namespace hotspan::symbols
