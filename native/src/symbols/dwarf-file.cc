/** Units, strings, addresses and ranges of one file. */
#include "dwarf-file.h"

#include <algorithm>

#include "dwarf-constants.h"

namespace hotspan::symbols {
namespace {

// Chromium has 40,000.
constexpr size_t maxUnits = 1U << 19;
constexpr size_t maxTables = 64;
// Functions are split in 2 or 3 ranges, units in as many as they have functions.
constexpr size_t maxRangesOfEntry = 1U << 20;

using Kind = AttributeValue::Kind;

size_t windowOf(DebugSection section) {
    switch (section) {
    case DebugSection::info:
    case DebugSection::line:
        return 32U << 10;
    case DebugSection::abbrev:
        return 8U << 10;
    default:
        return 2U << 10;
    }
}

bool isOffset(const AttributeValue &value) {
    return value.kind == Kind::sectionOffset || value.kind == Kind::constant;
}

} // namespace

DwarfCursor &DwarfFile::cursor(DebugSection section) {
    std::unique_ptr<DwarfCursor> &cursor = cursors_[static_cast<size_t>(section)];
    if (!cursor) {
        cursor = std::make_unique<DwarfCursor>(file_->section(section), windowOf(section));
    }
    return *cursor;
}

void DwarfFile::close() {
    for (std::unique_ptr<DwarfCursor> &cursor : cursors_) {
        cursor.reset();
    }
    file_->close();
}

size_t DwarfFile::bytes() const {
    size_t bytes = sizeof *this + file_->bytes() + units_.capacity() * sizeof(UnitHeader);
    for (const auto &[offset, table] : tables_) {
        bytes += table->bytes() + 96;
    }
    return bytes;
}

const std::vector<UnitHeader> &DwarfFile::units(WorkLimit &limit) {
    if (hasUnits_) {
        return units_;
    }
    hasUnits_ = true;
    // Headers alone, far apart from each other: a small window.
    DwarfCursor headers(file_->section(DebugSection::info), 64);
    while (headers.at() < headers.sizeBytes() && units_.size() < maxUnits && limit.step()) {
        UnitHeader header;
        bool isKnown = header.read(headers);
        if (header.end == 0) {
            break;
        }
        if (isKnown) {
            units_.push_back(header);
        }
        headers.seek(header.end);
    }
    units_.shrink_to_fit();
    return units_;
}

std::ptrdiff_t DwarfFile::unitAt(uint64_t offset, WorkLimit &limit) {
    const std::vector<UnitHeader> &all = units(limit);
    auto after = std::upper_bound(all.begin(), all.end(), offset,
                                  [](uint64_t at, const UnitHeader &header) { return at < header.offset; });
    return after != all.begin() && offset < std::prev(after)->end ? std::prev(after) - all.begin() : -1;
}

std::shared_ptr<const AbbreviationTable> DwarfFile::tableAt(uint64_t offset, WorkLimit &limit) {
    auto known = tables_.find(offset);
    if (known != tables_.end()) {
        return known->second;
    }
    if (tables_.size() >= maxTables) {
        tables_.clear();
    }
    DwarfCursor &cursor = this->cursor(DebugSection::abbrev);
    cursor.seek(offset);
    auto table = std::make_shared<const AbbreviationTable>(AbbreviationTable::read(cursor, limit));
    tables_.emplace(offset, table);
    return table;
}

std::optional<DwarfUnit> DwarfFile::loadUnit(const UnitHeader &header, const UnitOptions &options, WorkLimit &limit) {
    DwarfUnit out;
    const DwarfUnit *skeleton = options.skeleton;
    out.header = header;
    out.file = this;
    out.addressFile = skeleton != nullptr ? skeleton->file : this;
    DwarfCursor &info = cursor(DebugSection::info);
    info.seek(header.entries);
    uint64_t code = info.uleb();
    uint64_t tableOffset = header.abbreviations + options.abbreviations;
    if (options.isWhole) {
        out.abbreviations = tableAt(tableOffset, limit);
    } else {
        DwarfCursor &cursor = this->cursor(DebugSection::abbrev);
        cursor.seek(tableOffset);
        out.abbreviations = std::make_shared<const AbbreviationTable>(AbbreviationTable::read(cursor, limit, code));
    }
    const Abbreviation *entry = info.isGood() ? out.abbreviations->find(code) : nullptr;
    if (entry == nullptr) {
        return std::nullopt;
    }
    out.tag = entry->tag;
    out.root = readEntry(info, header, *out.abbreviations, *entry);
    // DWARF 5 puts a header before the values that an index counts from; what stands before version 5 has none.
    uint64_t listHeader = header.version >= 5 ? (header.isDwarf64 ? 20U : 12U) : 0;
    uint64_t stringHeader = header.version >= 5 ? (header.isDwarf64 ? 16U : 8U) : 0;
    out.strOffsetsBase = out.root.strOffsetsBase ? out.root.strOffsetsBase.number : options.strOffsets + stringHeader;
    out.rnglistsBase = out.root.rnglistsBase ? out.root.rnglistsBase.number : options.rnglists + listHeader;
    out.addrBase = skeleton != nullptr ? skeleton->addrBase : out.root.addrBase.number;
    out.gnuRangesBase = skeleton != nullptr ? skeleton->gnuRangesBase : out.root.gnuRangesBase.number;
    out.lowPc = skeleton != nullptr ? skeleton->lowPc : addressOf(out, out.root.lowPc);
    return info.isGood() ? std::optional(std::move(out)) : std::nullopt;
}

std::string DwarfFile::stringOf(const DwarfUnit &unit, const AttributeValue &value) {
    DebugSection section = DebugSection::str;
    DwarfFile *file = this;
    uint64_t offset = value.number;
    switch (value.kind) {
    case Kind::string:
        section = DebugSection::info;
        break;
    case Kind::strOffset:
        break;
    case Kind::lineStrOffset:
        section = DebugSection::lineStr;
        break;
    case Kind::altStrOffset:
        file = alt;
        break;
    case Kind::stringIndex: {
        DwarfCursor &offsets = cursor(DebugSection::strOffsets);
        offsets.seek(unit.strOffsetsBase + offset * unit.header.offsetBytes());
        offset = offsets.offset(unit.header.isDwarf64);
        file = offsets.isGood() ? this : nullptr;
        break;
    }
    default:
        return {};
    }
    if (file == nullptr) {
        return {};
    }
    if (section == DebugSection::info) {
        // The cursor of .debug_info is in the middle of something.
        DwarfCursor text(file_->section(section), 256);
        text.seek(offset);
        return text.string();
    }
    DwarfCursor &text = file->cursor(section);
    text.seek(offset);
    return text.isGood() ? text.string() : std::string();
}

uint64_t DwarfFile::indexedAddress(const DwarfUnit &unit, uint64_t index) {
    DwarfCursor &addresses = unit.addressFile->cursor(DebugSection::addr);
    addresses.seek(unit.addrBase + index * unit.header.addressBytes);
    return addresses.address(unit.header.addressBytes);
}

uint64_t DwarfFile::addressOf(const DwarfUnit &unit, const AttributeValue &value) {
    if (value.kind == Kind::addressIndex) {
        return indexedAddress(unit, value.number);
    }
    return value.kind == Kind::address ? value.number : 0;
}

void DwarfFile::forEachRange(const DwarfUnit &unit, const EntryAttributes &entry, WorkLimit &limit,
                             const RangeVisitor &visit) {
    if (entry.ranges) {
        if (unit.header.version < 5) {
            // A split unit's offset counts from its skeleton's base; a skeleton's own does not.
            bool isSplit = unit.addressFile != unit.file;
            readRangePairs(unit, entry.ranges.number + (isSplit ? unit.gnuRangesBase : 0), limit, visit);
        } else if (entry.ranges.kind == Kind::rangeListIndex) {
            DwarfCursor &lists = cursor(DebugSection::rnglists);
            lists.seek(unit.rnglistsBase + entry.ranges.number * unit.header.offsetBytes());
            uint64_t offset = lists.offset(unit.header.isDwarf64);
            if (lists.isGood()) {
                readRangeList(unit, unit.rnglistsBase + offset, limit, visit);
            }
        } else if (isOffset(entry.ranges)) {
            readRangeList(unit, entry.ranges.number, limit, visit);
        }
        return;
    }
    if (!entry.lowPc || !entry.highPc) {
        return;
    }
    uint64_t begin = addressOf(unit, entry.lowPc);
    bool isAddress = entry.highPc.kind == Kind::address || entry.highPc.kind == Kind::addressIndex;
    uint64_t end = isAddress ? addressOf(unit, entry.highPc) : begin + entry.highPc.number;
    if (begin < end) {
        visit(begin, end);
    }
}

void DwarfFile::readRangePairs(const DwarfUnit &unit, uint64_t offset, WorkLimit &limit, const RangeVisitor &visit) {
    DwarfCursor &pairs = unit.addressFile->cursor(DebugSection::ranges);
    uint8_t size = unit.header.addressBytes;
    uint64_t base = unit.lowPc;
    uint64_t newBase = size == 4 ? 0xffffffff : ~0ULL;
    pairs.seek(offset);
    for (size_t i = 0; i < maxRangesOfEntry && limit.step(); i++) {
        uint64_t begin = pairs.address(size);
        uint64_t end = pairs.address(size);
        if (!pairs.isGood() || (begin == 0 && end == 0)) {
            return;
        }
        if (begin == newBase) {
            base = end;
        } else if (begin < end && !visit(base + begin, base + end)) {
            return;
        }
    }
}

void DwarfFile::readRangeList(const DwarfUnit &unit, uint64_t offset, WorkLimit &limit, const RangeVisitor &visit) {
    DwarfCursor &list = cursor(DebugSection::rnglists);
    uint8_t size = unit.header.addressBytes;
    uint64_t base = unit.lowPc;
    list.seek(offset);
    for (size_t i = 0; i < maxRangesOfEntry && limit.step(); i++) {
        uint8_t entry = list.u8();
        uint64_t begin = 0, end = 0;
        switch (entry) {
        case dw::rangeBaseAddressx:
            base = indexedAddress(unit, list.uleb());
            continue;
        case dw::rangeBaseAddress:
            base = list.address(size);
            continue;
        case dw::rangeStartxEndx:
            begin = indexedAddress(unit, list.uleb());
            end = indexedAddress(unit, list.uleb());
            break;
        case dw::rangeStartxLength:
            begin = indexedAddress(unit, list.uleb());
            end = begin + list.uleb();
            break;
        case dw::rangeOffsetPair:
            begin = base + list.uleb();
            end = base + list.uleb();
            break;
        case dw::rangeStartEnd:
            begin = list.address(size);
            end = list.address(size);
            break;
        case dw::rangeStartLength:
            begin = list.address(size);
            end = begin + list.uleb();
            break;
        default:
            // The end, or a kind of entry whose size is not known.
            return;
        }
        if (!list.isGood() || (begin < end && !visit(begin, end))) {
            return;
        }
    }
}

} // namespace hotspan::symbols
