/** Passing through the entries of units. */
#include "dwarf-functions.h"

#include <algorithm>
#include <limits>

#include "dwarf-constants.h"

namespace hotspan::symbols {
namespace {

constexpr size_t maxSpans = 1U << 20;
// Deeper than any compiler inlines.
constexpr size_t maxInlinedCalls = 128;
constexpr uint32_t maxDepth = 1024;

bool isType(uint16_t tag) {
    return tag == dw::tagStructureType || tag == dw::tagClassType || tag == dw::tagUnionType ||
           tag == dw::tagEnumerationType;
}

/** Where the entry behind this one and all below it begins; 0 where it does not tell. */
uint64_t siblingOf(const DwarfUnit &unit, const EntryAttributes &entry) {
    // Only forwards: a file in which entries point back would keep us for ever.
    bool isForwards = entry.sibling.kind == AttributeValue::Kind::reference &&
                      entry.sibling.number > unit.file->cursor(DebugSection::info).at() &&
                      entry.sibling.number <= unit.header.end;
    return isForwards ? entry.sibling.number : 0;
}

/** Passes over an entry, and over all below it where the entry says where they end. True where it did. */
bool skipWithChildren(const DwarfUnit &unit, const Abbreviation &entry) {
    DwarfCursor &info = unit.file->cursor(DebugSection::info);
    if (!entry.hasChildren || !entry.hasSibling) {
        skipEntry(info, unit.header, *unit.abbreviations, entry);
        return false;
    }
    EntryAttributes attributes = readEntry(info, unit.header, *unit.abbreviations, entry);
    uint64_t sibling = siblingOf(unit, attributes);
    if (sibling != 0) {
        info.seek(sibling);
    }
    return sibling != 0;
}

bool covers(const DwarfUnit &unit, const EntryAttributes &entry, uint64_t address, WorkLimit &limit) {
    bool isIn = false;
    unit.file->forEachRange(unit, entry, limit, [&](uint64_t begin, uint64_t end) {
        isIn = address >= begin && address < end;
        return !isIn;
    });
    return isIn;
}

} // namespace

FunctionIndex FunctionIndex::read(const DwarfUnit &unit, const CodeTest &isCode, WorkLimit &limit) {
    FunctionIndex index;
    index.unitOffset_ = unit.header.offset;
    DwarfCursor &info = unit.file->cursor(DebugSection::info);
    info.seek(unit.header.entries);
    while (info.isGood() && info.at() < unit.header.end && limit.step() && index.spans_.size() < maxSpans) {
        uint64_t at = info.at() - unit.header.offset;
        uint64_t code = info.uleb();
        if (code == 0) {
            continue;
        }
        const Abbreviation *entry = unit.abbreviations->find(code);
        if (entry == nullptr) {
            break;
        }
        if (isType(entry->tag)) {
            skipWithChildren(unit, *entry);
            continue;
        }
        if (entry->tag != dw::tagSubprogram || !entry->hasCode) {
            skipEntry(info, unit.header, *unit.abbreviations, *entry);
            continue;
        }
        EntryAttributes attributes = readEntry(info, unit.header, *unit.abbreviations, *entry);
        unit.file->forEachRange(unit, attributes, limit, [&](uint64_t begin, uint64_t end) {
            if (isCode(begin) && at <= std::numeric_limits<uint32_t>::max()) {
                uint64_t size = std::min<uint64_t>(end - begin, std::numeric_limits<uint32_t>::max());
                index.spans_.push_back({begin, static_cast<uint32_t>(size), static_cast<uint32_t>(at)});
            }
            return index.spans_.size() < maxSpans;
        });
    }
    std::stable_sort(index.spans_.begin(), index.spans_.end(), [](const Span &a, const Span &b) {
        return a.begin != b.begin ? a.begin < b.begin : a.sizeBytes > b.sizeBytes;
    });
    index.spans_.shrink_to_fit();
    return index;
}

uint64_t FunctionIndex::find(uint64_t address) const {
    auto span = std::upper_bound(spans_.begin(), spans_.end(), address,
                                 [](uint64_t at, const Span &one) { return at < one.begin; });
    // Functions do not overlap, but for a nested one that stands inside another.
    for (int i = 0; i < 8 && span != spans_.begin(); i++) {
        --span;
        if (address - span->begin < span->sizeBytes) {
            return unitOffset_ + span->entry;
        }
    }
    return 0;
}

namespace {

/** The walk through the entries below a function. Depth 1 is the function's own children. */
class CallWalk {
  public:
    CallWalk(const DwarfUnit &unit, uint64_t address, WorkLimit &limit)
        : unit_(unit), address_(address), limit_(limit), info_(unit.file->cursor(DebugSection::info)) {}

    std::vector<InlinedCall> run(uint64_t entry) {
        info_.seek(entry);
        const Abbreviation *function = unit_.abbreviations->find(info_.uleb());
        if (function == nullptr || !function->hasChildren) {
            return {};
        }
        skipEntry(info_, unit_.header, *unit_.abbreviations, *function);
        while (info_.isGood() && info_.at() < unit_.header.end && limit_.step() && next()) {
        }
        return std::move(calls_);
    }

  private:
    /** False at the end of what is of interest. */
    bool next();
    bool enterCall(const Abbreviation &one);
    void descend(const Abbreviation &one, bool isPassedOver) {
        depth_ += one.hasChildren ? 1 : 0;
        if (isPassedOver && one.hasChildren && passedFrom_ == 0) {
            passedFrom_ = depth_;
        }
    }

    const DwarfUnit &unit_;
    uint64_t address_;
    WorkLimit &limit_;
    DwarfCursor &info_;
    std::vector<InlinedCall> calls_;
    uint32_t depth_ = 1;
    /** Depth inside of the innermost call that holds the address. */
    uint32_t callDepth_ = 1;
    /** At this depth and deeper entries are passed over; 0 where none are. */
    uint32_t passedFrom_ = 0;
};

bool CallWalk::next() {
    uint64_t code = info_.uleb();
    if (code == 0) {
        depth_--;
        passedFrom_ = depth_ < passedFrom_ ? 0 : passedFrom_;
        return depth_ >= callDepth_;
    }
    const Abbreviation *one = unit_.abbreviations->find(code);
    if (one == nullptr || depth_ > maxDepth) {
        return false;
    }
    if (passedFrom_ == 0 && one->tag == dw::tagInlinedSubroutine) {
        return enterCall(*one);
    }
    bool isOther = passedFrom_ != 0 || isType(one->tag) || one->tag == dw::tagSubprogram;
    if (!isOther) {
        skipEntry(info_, unit_.header, *unit_.abbreviations, *one);
    } else if (skipWithChildren(unit_, *one)) {
        return true;
    }
    descend(*one, isOther);
    return true;
}

bool CallWalk::enterCall(const Abbreviation &one) {
    EntryAttributes attributes = readEntry(info_, unit_.header, *unit_.abbreviations, one);
    if (covers(unit_, attributes, address_, limit_)) {
        calls_.push_back({attributes.origin, static_cast<uint32_t>(attributes.callFile.number),
                          static_cast<uint32_t>(attributes.callLine.number)});
        descend(one, false);
        callDepth_ = depth_;
        return one.hasChildren && calls_.size() < maxInlinedCalls;
    }
    uint64_t sibling = siblingOf(unit_, attributes);
    if (sibling != 0) {
        info_.seek(sibling);
    } else {
        descend(one, true);
    }
    return true;
}

} // namespace

std::vector<InlinedCall> findInlinedCalls(const DwarfUnit &unit, uint64_t entry, uint64_t address, WorkLimit &limit) {
    return CallWalk(unit, address, limit).run(entry);
}

} // namespace hotspan::symbols
