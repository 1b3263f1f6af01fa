/**
 * Units of .debug_info: their headers, abbreviations and attribute values (DWARF 5, sections 7.5.1 to 7.5.6). Versions
 * 2 to 5, 32 and 64 bit, plain and split, with a supplementary file (dwz).
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "debug-file.h"
#include "dwarf-cursor.h"

namespace hotspan::symbols {

struct AttributeSpec {
    uint16_t name = 0;
    uint16_t form = 0;
    int64_t implicitValue = 0;
};

struct Abbreviation {
    uint16_t tag = 0;
    bool hasChildren = false;
    /** Tells something of code; else its attributes are passed over. */
    bool hasCode = false;
    bool hasSibling = false;
    uint32_t firstAttribute = 0;
    uint32_t attributeCount = 0;
};

/** One table of .debug_abbrev. */
class AbbreviationTable {
  public:
    /** Reads until the table's end, or until `lastCode` was read; what cannot be read is left out. */
    static AbbreviationTable read(DwarfCursor &cursor, WorkLimit &limit, uint64_t lastCode = ~0ULL);

    const Abbreviation *find(uint64_t code) const;
    const AttributeSpec *attributesOf(const Abbreviation &one) const { return attributes_.data() + one.firstAttribute; }
    size_t bytes() const;

  private:
    /** Codes mostly count from 1 upwards. */
    std::vector<Abbreviation> dense_;
    std::unordered_map<uint64_t, Abbreviation> sparse_;
    std::vector<AttributeSpec> attributes_;
};

/** Where a unit is, and how it is written. */
struct UnitHeader {
    uint64_t offset = 0;
    uint64_t end = 0;
    /** Of its first entry. */
    uint64_t entries = 0;
    uint64_t abbreviations = 0;
    uint64_t dwoId = 0;
    uint16_t version = 0;
    uint8_t type = 0;
    uint8_t addressBytes = 8;
    bool isDwarf64 = false;

    uint8_t offsetBytes() const { return isDwarf64 ? 8 : 4; }
    /** Reads the header that the cursor stands at; false where there is none that can be read. `end` is right if it is
     * not 0. */
    bool read(DwarfCursor &cursor);
};

/** A value by its class. Strings and ranges are read only when they are wanted. */
struct AttributeValue {
    enum class Kind : uint8_t {
        none,
        constant,
        address,
        addressIndex,
        string,
        /** Offset into .debug_str, .debug_line_str, the supplementary file's .debug_str; index into .debug_str_offsets.
         */
        strOffset,
        lineStrOffset,
        altStrOffset,
        stringIndex,
        /** Offset of an entry in .debug_info, or in the supplementary file's. */
        reference,
        altReference,
        sectionOffset,
        rangeListIndex,
        other,
    };
    Kind kind = Kind::none;
    uint64_t number = 0;
    explicit operator bool() const { return kind != Kind::none; }
};

/** Reads the value of an attribute; for Kind::string its offset in the section. */
AttributeValue readAttribute(DwarfCursor &cursor, const UnitHeader &unit, const AttributeSpec &spec);
void skipAttribute(DwarfCursor &cursor, const UnitHeader &unit, const AttributeSpec &spec);

/** What of a unit's first entry, and of the entries of functions, is of use. */
struct EntryAttributes {
    AttributeValue lowPc, highPc, ranges, origin, specification, name, linkageName, callFile, callLine, sibling;
    AttributeValue stmtList, compDir, strOffsetsBase, addrBase, rnglistsBase, gnuRangesBase, dwoName, dwoId;
    bool isDeclaration = false;
};
EntryAttributes readEntry(DwarfCursor &cursor, const UnitHeader &unit, const AbbreviationTable &table,
                          const Abbreviation &entry);
void skipEntry(DwarfCursor &cursor, const UnitHeader &unit, const AbbreviationTable &table, const Abbreviation &entry);

} // namespace hotspan::symbols
