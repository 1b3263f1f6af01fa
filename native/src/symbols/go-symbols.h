/**
 * Names, files, lines and inlined calls of a Go binary, stripped or not, out of what the Go runtime itself keeps for
 * tracebacks. Small tables are held in memory; of large ones only the place is known, and each lookup reads the few
 * bytes that it needs: a file that claims to be huge costs nothing.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "go-module.h"

namespace hotspan::symbols {

/** A part of a file, or a copy of it. Nothing can be read from outside of it. */
struct GoBytes {
    ByteSource source;
    uint64_t offset = 0;
    uint64_t sizeBytes = 0;

    bool read(uint64_t at, void *out, size_t count) const;
    size_t readSome(uint64_t at, void *out, size_t count) const;
    std::optional<uint32_t> u32(uint64_t at) const;
    /** The text that begins there, to its NUL or to a bound. */
    std::string text(uint64_t at) const;
};

struct GoLine {
    std::string name;
    std::string file;
    uint32_t line = 0;
};

/** What is at an address. */
struct GoCode {
    /** The function there, behind those that are inlined into it: innermost first. Empty where nothing is known. */
    std::vector<GoLine> lines;
    /** C code that Go's linker linked in: a name is all that the table has of it. */
    bool isC = false;
};

class GoSymbols {
  public:
    struct Limits {
        /** Of pclntab and function data together. Kubernetes' have 40 MB, most services' less than these. */
        size_t memoryBytes = 8U << 20;
    };

    /** Nothing where the file has no tables that make sense. */
    static std::shared_ptr<const GoSymbols> load(const ByteSource &source, const ElfFile &file,
                                                 const std::vector<Section> &sections, const Limits &limits);

    /** Whether the address is in the code that the table describes. */
    bool covers(uint64_t address) const { return address >= first_ && address < end_; }
    /** Whether the address is a Go function's, and not C code among them. Only if not needsFile(). */
    bool names(uint64_t address) const;
    /** find() needs the file again. */
    bool needsFile() const { return copy_.empty(); }
    /** `file` is only read if needsFile(). */
    GoCode find(const ByteSource &file, uint64_t address) const;
    size_t bytes() const { return sizeof *this + copy_.capacity(); }

  private:
    /** What one lookup reads from, and how many steps through tables of values it may still take. */
    struct Tables {
        GoBytes table;
        GoBytes data;
        mutable size_t stepsLeft;
    };
    struct Function {
        uint64_t entry = 0;
        uint32_t nameOffset = 0, fileValues = 0, lineValues = 0, inlineValues = 0, unit = 0, tree = 0;
    };
    struct Call {
        uint32_t nameOffset = 0;
        uint64_t parentOffset = 0;
    };

    Tables tablesIn(const ByteSource &source) const;
    Tables tablesInMemory() const;
    void copyTables(const Tables &tables, size_t maxBytes);
    uint64_t tableEnd(const GoBytes &table) const;
    uint64_t treesEnd(const Tables &tables) const;
    std::optional<uint32_t> recordOf(const GoBytes &table, uint64_t address) const;
    std::optional<Function> functionAt(const GoBytes &table, uint32_t record) const;
    std::optional<int32_t> valueAt(const Tables &tables, uint32_t values, uint64_t offset) const;
    std::optional<Call> callAt(const Tables &tables, const Function &function, int32_t index) const;
    std::string nameAt(const GoBytes &table, uint32_t nameOffset) const;
    GoLine lineAt(const Tables &tables, const Function &function, uint64_t offset) const;

    GoModule module_;
    uint64_t first_ = 0;
    uint64_t end_ = 0;
    /** The table, then the function data. Empty where they are too large. */
    std::vector<uint8_t> copy_;
    uint64_t copiedTableBytes_ = 0;
};

/** As Go's own tracebacks and pprof write a name: what a function is instantiated with is "...". */
std::string shownGoName(std::string_view name);

} // namespace hotspan::symbols
