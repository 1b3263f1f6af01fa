/** Looking up units in the index of a .dwp. */
#include "dwarf-package.h"

namespace hotspan::symbols {
namespace {

constexpr uint32_t maxColumns = 16;

/** Numbers of sections in the index (DW_SECT_*). RNGLISTS is of version 5; version 2 has no ranges of its own. */
enum Column : uint32_t { columnInfo = 1, columnAbbrev = 3, columnStrOffsets = 6, columnRnglists = 8 };

/** Row of the unit, counted from 1; 0 where there is none. */
uint32_t rowOf(DwarfCursor &index, uint64_t dwoId, uint32_t slotCount, WorkLimit &limit) {
    constexpr uint64_t headerBytes = 16;
    uint64_t mask = slotCount - 1;
    uint64_t slot = dwoId & mask;
    uint64_t step = ((dwoId >> 32) & mask) | 1;
    for (uint32_t i = 0; i < slotCount && limit.step(); i++, slot = (slot + step) & mask) {
        index.seek(headerBytes + slot * 8);
        uint64_t id = index.u64();
        index.seek(headerBytes + uint64_t{slotCount} * 8 + slot * 4);
        uint32_t row = index.u32();
        if (!index.isGood() || row == 0 || id == dwoId) {
            return index.isGood() ? row : 0;
        }
    }
    return 0;
}

} // namespace

std::optional<PackagedUnit> findInPackage(DwarfFile &package, uint64_t dwoId, WorkLimit &limit) {
    DwarfCursor &index = package.cursor(DebugSection::cuIndex);
    index.seek(0);
    // Version 2 takes 4 bytes, version 5 takes 2 and 2 of padding: the same in little endian.
    uint32_t version = index.u32();
    uint32_t columnCount = index.u32();
    uint32_t unitCount = index.u32();
    uint32_t slotCount = index.u32();
    bool isPower = slotCount != 0 && (slotCount & (slotCount - 1)) == 0;
    if (!index.isGood() || (version != 2 && version != 5) || columnCount == 0 || columnCount > maxColumns || !isPower) {
        return std::nullopt;
    }
    uint32_t row = rowOf(index, dwoId, slotCount, limit);
    if (row == 0 || row > unitCount) {
        return std::nullopt;
    }
    uint64_t columns = 16 + uint64_t{slotCount} * 12;
    uint32_t kinds[maxColumns] = {};
    index.seek(columns);
    for (uint32_t i = 0; i < columnCount; i++) {
        kinds[i] = index.u32();
    }
    index.seek(columns + uint64_t{row} * columnCount * 4);
    PackagedUnit unit;
    for (uint32_t i = 0; i < columnCount; i++) {
        uint64_t offset = index.u32();
        switch (kinds[i]) {
        case columnInfo:
            unit.info = offset;
            break;
        case columnAbbrev:
            unit.parts.abbreviations = offset;
            break;
        case columnStrOffsets:
            unit.parts.strOffsets = offset;
            break;
        case columnRnglists:
            unit.parts.rnglists = version == 5 ? offset : 0;
            break;
        default:
            break;
        }
    }
    return index.isGood() ? std::optional(unit) : std::nullopt;
}

} // namespace hotspan::symbols
