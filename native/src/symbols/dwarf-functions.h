/**
 * Functions of a unit by address, and which functions were inlined at an address (DWARF 5, section 3.3). A unit's
 * entries are passed through once to find its functions; the entries inside a function only when an address in it is
 * asked for.
 */
#pragma once

#include <cstdint>
#include <vector>

#include "dwarf-file.h"
#include "dwarf-lines.h"

namespace hotspan::symbols {

class FunctionIndex {
  public:
    static FunctionIndex read(const DwarfUnit &unit, const CodeTest &isCode, WorkLimit &limit);

    /** Offset in .debug_info of the entry of the function that holds the address; 0 for none. */
    uint64_t find(uint64_t address) const;
    size_t bytes() const { return spans_.capacity() * sizeof(Span); }

  private:
    struct Span {
        uint64_t begin;
        uint32_t sizeBytes;
        /** After the unit's header. */
        uint32_t entry;
    };
    std::vector<Span> spans_;
    uint64_t unitOffset_ = 0;
};

/** A call that was inlined. */
struct InlinedCall {
    /** Of the function that was inlined: its entry in .debug_info, here or in the supplementary file. */
    AttributeValue origin;
    /** Where it was called. */
    uint32_t callFile = 0;
    uint32_t callLine = 0;
};

/** The calls that were inlined at an address in the function at `entry`, outermost first. */
std::vector<InlinedCall> findInlinedCalls(const DwarfUnit &unit, uint64_t entry, uint64_t address, WorkLimit &limit);

} // namespace hotspan::symbols
