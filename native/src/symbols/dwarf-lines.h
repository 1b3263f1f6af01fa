/**
 * Line tables: addresses to source files and lines (DWARF 5, section 6.2; versions 2 to 5). The program of a unit is
 * run once; what is kept are the places where the line changes, 12 bytes each.
 */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dwarf-file.h"

namespace hotspan::symbols {

/** Whether an address is in the code of the file: linkers leave tables of functions that they dropped, at address 0. */
using CodeTest = std::function<bool(uint64_t address)>;

class LineTable {
  public:
    struct Place {
        uint32_t file = 0;
        /** 0: code of no line, such as what a compiler merged. */
        uint32_t line = 0;
        bool isKnown = false;
    };

    /** The table that a unit names. Empty where there is none. */
    static LineTable read(const DwarfUnit &unit, const CodeTest &isCode, WorkLimit &limit);

    Place find(uint64_t address) const;
    /** Path of a file by its number in this table; relative to nothing but "/" where the table tells enough. */
    std::string pathOf(const DwarfUnit &unit, uint32_t file) const;
    size_t bytes() const;

  private:
    friend class LineProgram;
    struct Row {
        /** After the sequence's first address. */
        uint32_t offset;
        uint32_t line;
        uint32_t file;
    };
    /** Code that is contiguous: rows [firstRow, firstRow + rowCount). */
    struct Sequence {
        uint64_t begin;
        uint64_t end;
        uint32_t firstRow;
        uint32_t rowCount;
    };
    struct Name {
        AttributeValue text;
        uint32_t directory = 0;
    };
    std::string textOf(const DwarfUnit &unit, const AttributeValue &value) const;

    std::vector<Row> rows_;
    std::vector<Sequence> sequences_;
    std::vector<AttributeValue> directories_;
    std::vector<Name> files_;
    uint16_t version_ = 0;
};

/** Joins and cleans a path: "/a/b" and "./../c" give "/a/c". */
std::string joinPath(const std::string &directory, const std::string &path);

} // namespace hotspan::symbols
