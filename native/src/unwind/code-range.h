/** A function's stretch of code and where it is described: what tables are built from, 12 bytes each. */
#pragma once

#include <cstdint>

namespace hotspan::unwind {

/** Where a function is described. The numbers are their order of trust where two describe one function. */
enum class RangeOwner : uint32_t { ehFrame = 0, gopclntab = 1, debugFrame = 2, shape = 3 };

/** What a range of owner `shape` has for an offset. */
enum CodeShape : uint32_t { rootShape, stubsShape, lazyStubsShape, followedShape };

constexpr uint32_t maxRangeOffset = (1U << 30) - 1;

struct FunctionRange {
    uint32_t begin = 0;
    uint32_t sizeBytes = 0;
    /** Owner in bits 30-31; below, the offset of the function's description in the owner's section. */
    uint32_t place = 0;

    RangeOwner owner() const { return static_cast<RangeOwner>(place >> 30); }
    uint32_t offset() const { return place & maxRangeOffset; }
    uint64_t end() const { return uint64_t{begin} + sizeBytes; }
};

/** The short name that this folder's builders of tables use. Not the struct's own: mapping-list.h has another one, and
 * the linker would take std::vector's code for the two as one. */
using CodeRange = FunctionRange;

inline uint32_t rangePlace(RangeOwner owner, uint32_t offset) {
    return static_cast<uint32_t>(owner) << 30 | offset;
}

/** So many functions are looked at: three times those of the largest browsers; 24 MB while a table is built. */
constexpr size_t maxRanges = 2U << 20;

} // namespace hotspan::unwind
