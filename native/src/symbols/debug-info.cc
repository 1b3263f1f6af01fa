/** The index of units, the functions and lines of those asked for, and names of functions. */
#include "debug-info.h"

#include <algorithm>
#include <limits>

#include "dwarf-constants.h"
#include "dwarf-package.h"

namespace hotspan::symbols {
namespace {

constexpr size_t maxSpans = 2U << 20;
// Names and answers are kept for what is asked again soon; callers keep them for longer.
constexpr size_t maxTextBytes = 2U << 20;
constexpr size_t maxSplitFiles = 8;
constexpr int maxReferences = 16;

bool isProgramUnit(const UnitHeader &header) {
    return header.type == dw::unitCompile || header.type == dw::unitSkeleton;
}

size_t bytesOf(const std::vector<SourceLine> &lines) {
    size_t bytes = 64;
    for (const SourceLine &line : lines) {
        bytes += sizeof line + line.name.capacity() + line.file.capacity();
    }
    return bytes;
}

} // namespace

DebugInfo::DebugInfo(std::shared_ptr<DebugFile> file, DebugNeighbours neighbours, CodeTest isCode)
    : file_(std::move(file)), neighbours_(std::move(neighbours)), isCode_(std::move(isCode)) {
    countBytes();
}

void DebugInfo::buildIndex(WorkLimit &limit) {
    const std::vector<UnitHeader> &headers = file_.units(limit);
    for (size_t i = 0; i < headers.size() && spans_.size() < maxSpans && limit.step(); i++) {
        std::optional<DwarfUnit> unit;
        if (isProgramUnit(headers[i])) {
            unit = file_.loadUnit(headers[i], {.isWhole = false}, limit);
        }
        if (!unit || unit->tag == dw::tagPartialUnit) {
            continue;
        }
        file_.forEachRange(*unit, unit->root, limit, [&](uint64_t begin, uint64_t end) {
            if (isCode_(begin)) {
                uint64_t size = std::min<uint64_t>(end - begin, std::numeric_limits<uint32_t>::max());
                spans_.push_back({begin, static_cast<uint32_t>(size), static_cast<uint32_t>(i)});
            }
            return spans_.size() < maxSpans;
        });
    }
    std::sort(spans_.begin(), spans_.end(), [](const UnitSpan &a, const UnitSpan &b) { return a.begin < b.begin; });
    // Neighbours of one unit, as with one section for each function, are one.
    size_t kept = 0;
    for (const UnitSpan &span : spans_) {
        if (kept > 0 && spans_[kept - 1].unit == span.unit &&
            spans_[kept - 1].begin + spans_[kept - 1].sizeBytes == span.begin &&
            span.sizeBytes <= std::numeric_limits<uint32_t>::max() - spans_[kept - 1].sizeBytes) {
            spans_[kept - 1].sizeBytes += span.sizeBytes;
        } else {
            spans_[kept++] = span;
        }
    }
    spans_.resize(kept);
    spans_.shrink_to_fit();
}

DebugInfo::LoadedUnit *DebugInfo::unitOf(uint64_t address, WorkLimit &limit) {
    auto span = std::upper_bound(spans_.begin(), spans_.end(), address,
                                 [](uint64_t at, const UnitSpan &one) { return at < one.begin; });
    for (int i = 0; i < 8 && span != spans_.begin(); i++) {
        --span;
        if (address - span->begin < span->sizeBytes) {
            return load(span->unit, limit);
        }
    }
    return nullptr;
}

DebugInfo::LoadedUnit *DebugInfo::load(uint32_t index, WorkLimit &limit) {
    auto known = unitByIndex_.find(index);
    if (known != unitByIndex_.end()) {
        units_.splice(units_.begin(), units_, known->second);
        return units_.front().get();
    }
    std::optional<DwarfUnit> unit = file_.loadUnit(file_.units(limit)[index], {}, limit);
    if (!unit) {
        return nullptr;
    }
    auto loaded = std::make_unique<LoadedUnit>();
    loaded->index = index;
    loaded->lineUnit = *unit;
    loaded->unit = std::move(*unit);
    if (loaded->lineUnit.root.dwoName) {
        loadSplit(*loaded, limit);
    }
    loaded->lines = LineTable::read(loaded->lineUnit, isCode_, limit);
    loaded->functions = FunctionIndex::read(loaded->unit, isCode_, limit);
    if (limit.isOver()) {
        // Half read: asked for again it may be had whole.
        return nullptr;
    }
    units_.push_front(std::move(loaded));
    unitByIndex_[index] = units_.begin();
    return units_.front().get();
}

std::shared_ptr<DwarfFile> DebugInfo::splitFileOf(const std::string &path) {
    for (auto it = splitFiles_.begin(); it != splitFiles_.end(); ++it) {
        if (it->first == path) {
            splitFiles_.splice(splitFiles_.begin(), splitFiles_, it);
            return it->second;
        }
    }
    std::shared_ptr<DebugFile> file = neighbours_.openSplit ? neighbours_.openSplit(path) : nullptr;
    auto opened = file ? std::make_shared<DwarfFile>(std::move(file)) : nullptr;
    splitFiles_.emplace_front(path, opened);
    if (splitFiles_.size() > maxSplitFiles) {
        splitFiles_.pop_back();
    }
    return opened;
}

void DebugInfo::loadSplit(LoadedUnit &loaded, WorkLimit &limit) {
    const DwarfUnit &skeleton = loaded.lineUnit;
    uint64_t id = skeleton.header.version >= 5 ? skeleton.header.dwoId : skeleton.root.dwoId.number;
    if (loadFromPackage(loaded, id, limit)) {
        return;
    }
    std::string path =
        joinPath(file_.stringOf(skeleton, skeleton.root.compDir), file_.stringOf(skeleton, skeleton.root.dwoName));
    std::shared_ptr<DwarfFile> split = splitFileOf(path);
    if (!split) {
        return;
    }
    for (const UnitHeader &header : split->units(limit)) {
        std::optional<DwarfUnit> unit;
        if (header.type == dw::unitCompile || header.type == dw::unitSplitCompile) {
            unit = split->loadUnit(header, {.skeleton = &skeleton}, limit);
        }
        // A file that was built again since belongs to another program.
        if (unit && (header.version >= 5 ? header.dwoId : unit->root.dwoId.number) == id) {
            loaded.unit = std::move(*unit);
            loaded.splitFile = std::move(split);
            return;
        }
    }
}

bool DebugInfo::loadFromPackage(LoadedUnit &loaded, uint64_t dwoId, WorkLimit &limit) {
    if (!isPackageTried_) {
        isPackageTried_ = true;
        std::shared_ptr<DebugFile> file = neighbours_.openPackage ? neighbours_.openPackage() : nullptr;
        package_ = file ? std::make_shared<DwarfFile>(std::move(file)) : nullptr;
    }
    std::optional<PackagedUnit> place = package_ ? findInPackage(*package_, dwoId, limit) : std::nullopt;
    if (!place) {
        return false;
    }
    DwarfCursor &info = package_->cursor(DebugSection::info);
    info.seek(place->info);
    UnitHeader header;
    place->parts.skeleton = &loaded.lineUnit;
    std::optional<DwarfUnit> unit = header.read(info) ? package_->loadUnit(header, place->parts, limit) : std::nullopt;
    if (unit) {
        loaded.unit = std::move(*unit);
        loaded.splitFile = package_;
    }
    return unit.has_value();
}

const std::vector<SourceLine> &DebugInfo::find(uint64_t address, WorkLimit &limit) {
    static const std::vector<SourceLine> none;
    auto known = found_.find(address);
    if (known != found_.end()) {
        return known->second;
    }
    if (!hasIndex_) {
        hasIndex_ = true;
        buildIndex(limit);
    }
    if (textBytes_ > maxTextBytes) {
        found_.clear();
        names_.clear();
        textBytes_ = 0;
    }
    LoadedUnit *unit = unitOf(address, limit);
    std::vector<SourceLine> lines;
    if (unit != nullptr) {
        lines = resolve(*unit, address, limit);
    }
    if (limit.isOver()) {
        return none;
    }
    textBytes_ += bytesOf(lines);
    return found_.emplace(address, std::move(lines)).first->second;
}

std::vector<SourceLine> DebugInfo::resolve(LoadedUnit &unit, uint64_t address, WorkLimit &limit) {
    LineTable::Place place = unit.lines.find(address);
    std::vector<SourceLine> lines;
    auto add = [&](Name name) {
        std::string path = place.isKnown ? unit.lines.pathOf(unit.lineUnit, place.file) : std::string();
        lines.push_back({std::move(name.text), std::move(path), place.line, name.language});
    };
    uint64_t function = unit.functions.find(address);
    if (function == 0) {
        if (place.line != 0) {
            add({});
        }
        return lines;
    }
    std::vector<InlinedCall> calls = findInlinedCalls(unit.unit, function, address, limit);
    for (size_t i = calls.size(); i-- > 0;) {
        add(nameOf(unit.unit, calls[i].origin, limit));
        place = {calls[i].callFile, calls[i].callLine, true};
    }
    add(nameOf(unit.unit, {AttributeValue::Kind::reference, function}, limit));
    return lines;
}

DwarfFile *DebugInfo::altOf(DwarfFile &file) {
    if (!isAltTried_ && &file == &file_) {
        isAltTried_ = true;
        std::shared_ptr<DebugFile> found = neighbours_.openAlt ? neighbours_.openAlt(file.debugFile()) : nullptr;
        if (found) {
            alt_ = std::make_unique<DwarfFile>(std::move(found));
            file_.alt = alt_.get();
        }
    }
    return file.alt;
}

DebugInfo::Name DebugInfo::nameOf(const DwarfUnit &start, const AttributeValue &entry, WorkLimit &limit) {
    uint64_t key =
        entry.number * 4 + (entry.kind == AttributeValue::Kind::altReference ? 1 : 0) + (start.file != &file_ ? 2 : 0);
    // Offsets in split files are those of many files.
    bool isKept = start.file == &file_ || start.file == package_.get();
    if (auto known = names_.find(key); isKept && known != names_.end()) {
        return known->second;
    }
    DwarfUnit unit = start;
    AttributeValue reference = entry;
    std::string mangled, plain;
    for (int i = 0; i < maxReferences && mangled.empty() && reference && limit.step(); i++) {
        DwarfFile *file = reference.kind == AttributeValue::Kind::altReference ? altOf(*unit.file) : unit.file;
        if (file == nullptr || (reference.kind != AttributeValue::Kind::reference && file == unit.file)) {
            break;
        }
        uint64_t at = reference.number;
        if (file != unit.file || at < unit.header.offset || at >= unit.header.end) {
            std::ptrdiff_t index = file->unitAt(at, limit);
            std::optional<DwarfUnit> other;
            if (index >= 0) {
                other = file->loadUnit(file->units(limit)[static_cast<size_t>(index)], {}, limit);
            }
            if (!other) {
                break;
            }
            unit = std::move(*other);
        }
        DwarfCursor &info = file->cursor(DebugSection::info);
        info.seek(at);
        const Abbreviation *one = unit.abbreviations->find(info.uleb());
        if (one == nullptr || at < unit.header.entries) {
            break;
        }
        EntryAttributes attributes = readEntry(info, unit.header, *unit.abbreviations, *one);
        altOf(*file);
        mangled = file->stringOf(unit, attributes.linkageName);
        plain = plain.empty() ? file->stringOf(unit, attributes.name) : plain;
        reference = attributes.origin ? attributes.origin : attributes.specification;
    }
    Demangled demangled = demangle(mangled.empty() ? plain : mangled);
    Name name{std::move(demangled.name), demangled.language};
    if (isKept) {
        textBytes_ += sizeof name + name.text.capacity() + 64;
        names_.emplace(key, name);
    }
    return name;
}

void DebugInfo::settle(size_t maxBytes) {
    file_.close();
    if (alt_) {
        alt_->close();
    }
    if (package_) {
        package_->close();
    }
    for (auto &[path, split] : splitFiles_) {
        if (split) {
            split->close();
        }
    }
    for (const std::unique_ptr<LoadedUnit> &unit : units_) {
        if (unit->splitFile) {
            unit->splitFile->close();
        }
    }
    countBytes();
    while (bytes() > maxBytes && !units_.empty()) {
        unitByIndex_.erase(units_.back()->index);
        units_.pop_back();
        countBytes();
    }
    if (bytes() > maxBytes) {
        found_.clear();
        names_.clear();
        textBytes_ = 0;
        file_.forgetAbbreviations();
        release();
    }
}

void DebugInfo::release() {
    // Units that were read from them keep those split files that they still need.
    splitFiles_.clear();
    file_.debugFile().release();
    if (alt_) {
        alt_->forgetAbbreviations();
        alt_->debugFile().release();
    }
    if (package_) {
        package_->forgetAbbreviations();
        package_->debugFile().release();
    }
    countBytes();
}

void DebugInfo::countBytes() {
    size_t bytes = sizeof *this + file_.bytes() + spans_.capacity() * sizeof(UnitSpan) + textBytes_;
    bytes += alt_ ? alt_->bytes() : 0;
    bytes += package_ ? package_->bytes() : 0;
    for (const auto &[path, split] : splitFiles_) {
        bytes += split ? split->bytes() : 64;
    }
    for (const std::unique_ptr<LoadedUnit> &unit : units_) {
        bytes += sizeof *unit + unit->lines.bytes() + unit->functions.bytes() + 64;
    }
    bytes_.store(bytes, std::memory_order_relaxed);
}

} // namespace hotspan::symbols
