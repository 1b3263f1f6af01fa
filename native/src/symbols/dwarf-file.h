/**
 * The debug sections of one file as DWARF: a cursor for each, the units with their abbreviations, and what attribute
 * values stand for: strings, addresses, address ranges. A split unit (.dwo, .dwp) takes its addresses from the file of
 * its skeleton; a file that dwz made smaller takes strings and entries from a supplementary one.
 */
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "debug-file.h"
#include "dwarf-unit.h"

namespace hotspan::symbols {

class DwarfFile;

/** A unit whose first entry was read. */
struct DwarfUnit {
    UnitHeader header;
    /** Whose .debug_info, .debug_abbrev and .debug_str it is written with. */
    DwarfFile *file = nullptr;
    /** Whose .debug_addr and .debug_ranges: another file's for a split unit. */
    DwarfFile *addressFile = nullptr;
    std::shared_ptr<const AbbreviationTable> abbreviations;
    EntryAttributes root;
    uint16_t tag = 0;
    uint64_t lowPc = 0;
    uint64_t strOffsetsBase = 0;
    uint64_t addrBase = 0;
    uint64_t rnglistsBase = 0;
    uint64_t gnuRangesBase = 0;
};

struct UnitOptions {
    /** With all abbreviations, not only that of the first entry. */
    bool isWhole = true;
    /** Of a split unit. */
    const DwarfUnit *skeleton = nullptr;
    /** Where the parts of a unit begin that a .dwp holds; 0 for all others. */
    uint64_t abbreviations = 0;
    uint64_t strOffsets = 0;
    uint64_t rnglists = 0;
};

using RangeVisitor = std::function<bool(uint64_t begin, uint64_t end)>;

class DwarfFile {
  public:
    explicit DwarfFile(std::shared_ptr<DebugFile> file) : file_(std::move(file)) {}

    DebugFile &debugFile() { return *file_; }
    DwarfCursor &cursor(DebugSection section);
    /** Closes the file and frees the windows. */
    void close();

    /** Reads the abbreviations and the first entry of a unit. Nothing where that is not possible. */
    std::optional<DwarfUnit> loadUnit(const UnitHeader &header, const UnitOptions &options, WorkLimit &limit);

    /** Empty where there is none. */
    std::string stringOf(const DwarfUnit &unit, const AttributeValue &value);
    uint64_t addressOf(const DwarfUnit &unit, const AttributeValue &value);
    /** Calls `visit` with each range of an entry until it returns false. */
    void forEachRange(const DwarfUnit &unit, const EntryAttributes &entry, WorkLimit &limit, const RangeVisitor &visit);

    /** Headers of all units, in file order; read once. */
    const std::vector<UnitHeader> &units(WorkLimit &limit);
    /** Index of the unit that holds an offset; -1 for none. */
    std::ptrdiff_t unitAt(uint64_t offset, WorkLimit &limit);

    /** The supplementary file; null where there is none or it was not found. */
    DwarfFile *alt = nullptr;

    size_t bytes() const;
    void forgetAbbreviations() { tables_.clear(); }

  private:
    std::shared_ptr<const AbbreviationTable> tableAt(uint64_t offset, WorkLimit &limit);
    void readRangePairs(const DwarfUnit &unit, uint64_t offset, WorkLimit &limit, const RangeVisitor &visit);
    void readRangeList(const DwarfUnit &unit, uint64_t offset, WorkLimit &limit, const RangeVisitor &visit);
    uint64_t indexedAddress(const DwarfUnit &unit, uint64_t index);

    std::shared_ptr<DebugFile> file_;
    std::array<std::unique_ptr<DwarfCursor>, debugSectionCount> cursors_;
    std::unordered_map<uint64_t, std::shared_ptr<const AbbreviationTable>> tables_;
    std::vector<UnitHeader> units_;
    bool hasUnits_ = false;
};

} // namespace hotspan::symbols
