/** Changing and publishing of lists of mappings. */
#include "mapping-list.h"

#include <algorithm>
#include <cstring>

namespace hotspan::unwind {
namespace {

// Between two copies of one list: each lies in the arena for its grace period, and an ordinary list changes some dozen
// times at a program's start. 200 ms for the longest.
constexpr uint64_t minPublishIntervalNs = 4'000'000;
constexpr uint64_t publishIntervalPerRangeNs = 50'000;

bool isBefore(const CodeRange &range, uint64_t address) {
    return range.end <= address;
}

/** One goes on where the other ends, in memory and in the file. */
bool continues(const CodeRange &first, const CodeRange &second) {
    return first.end == second.start && first.file == second.file &&
           (!first.file || first.fileOffset + (first.end - first.start) == second.fileOffset);
}

} // namespace

MappingList::~MappingList() {
    if (room_) {
        arena_.give(*room_);
    }
}

std::shared_ptr<MappingList> MappingList::copy() const {
    auto list = std::make_shared<MappingList>(arena_);
    list->ranges_ = ranges_;
    list->countAtRead_ = countAtRead_;
    list->isTruncated_ = isTruncated_;
    return list;
}

const CodeRange *MappingList::find(uint64_t address) const {
    auto range = std::lower_bound(ranges_.begin(), ranges_.end(), address, isBefore);
    return range != ranges_.end() && range->start <= address ? &*range : nullptr;
}

bool MappingList::isCovered(const CodeRange &range) const {
    const CodeRange *there = find(range.start);
    return there != nullptr && there->end >= range.end && there->file == range.file &&
           (!range.file || there->fileOffset + (range.start - there->start) == range.fileOffset);
}

bool MappingList::add(CodeRange range) {
    if (range.start >= range.end || isCovered(range)) {
        return false;
    }
    auto first = std::lower_bound(ranges_.begin(), ranges_.end(), range.start, isBefore);
    auto last = first;
    std::vector<CodeRange> pieces;
    for (; last != ranges_.end() && last->start < range.end; ++last) {
        if (last->start < range.start) {
            pieces.push_back({last->start, range.start, last->fileOffset, last->file});
        }
        if (last->end > range.end) {
            pieces.push_back({range.end, last->end, last->fileOffset + (range.end - last->start), last->file});
        }
    }
    auto at =
        std::find_if(pieces.begin(), pieces.end(), [&](const CodeRange &piece) { return piece.start > range.start; });
    pieces.insert(at, std::move(range));
    auto index = static_cast<size_t>(first - ranges_.begin());
    size_t count = ranges_.size() - static_cast<size_t>(last - first) + pieces.size();
    isDirty_ = true;
    if (count > UNWIND_MAX_MAPPINGS) {
        isTruncated_ = true;
        return false;
    }
    ranges_.erase(first, last);
    ranges_.insert(ranges_.begin() + static_cast<ptrdiff_t>(index), pieces.begin(), pieces.end());
    for (size_t i = std::min(index + pieces.size(), ranges_.size() - 1) + 1; i-- > index;) {
        mergeAround(i);
    }
    return true;
}

void MappingList::mergeAround(size_t index) {
    if (index > 0 && index < ranges_.size() && continues(ranges_[index - 1], ranges_[index])) {
        ranges_[index - 1].end = ranges_[index].end;
        ranges_.erase(ranges_.begin() + static_cast<ptrdiff_t>(index));
    }
}

void MappingList::replace(std::vector<CodeRange> ranges) {
    ranges_.clear();
    isTruncated_ = false;
    for (CodeRange &range : ranges) {
        if (!ranges_.empty() && continues(ranges_.back(), range)) {
            ranges_.back().end = range.end;
        } else if (!ranges_.empty() && range.start < ranges_.back().end) {
            // Only a list of mappings that changed while it was read has such.
            continue;
        } else if (ranges_.size() >= UNWIND_MAX_MAPPINGS) {
            isTruncated_ = true;
            break;
        } else {
            ranges_.push_back(std::move(range));
        }
    }
    ranges_.shrink_to_fit();
    countAtRead_ = ranges_.size();
    isDirty_ = true;
}

bool MappingList::uses(const PlacedTable &table) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&table](const CodeRange &range) { return range.file && range.file->table.get() == &table; });
}

bool MappingList::uses(const CodeFile &file) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&file](const CodeRange &range) { return range.file.get() == &file; });
}

unwind_mapping describeRange(const CodeRange &range) {
    unwind_mapping mapping{};
    mapping.start = range.start;
    mapping.end = range.end;
    mapping.bias = range.start - range.fileOffset;
    if (!range.file) {
        mapping.kind = UNWIND_MAPPING_JIT;
        return mapping;
    }
    const CodeFile &file = *range.file;
    if (!file.table) {
        // What is no ELF file is memory of a compiler at run time that has a name (memfd).
        mapping.kind = file.isRead ? UNWIND_MAPPING_JIT : UNWIND_MAPPING_PENDING;
        return mapping;
    }
    // Segments are mapped page by page: the first byte of a mapping stands before its segment's first byte.
    uint64_t begin = file.elf ? file.elf->addressOf(range.fileOffset).value_or(range.fileOffset) : range.fileOffset;
    mapping.bias = file.isVdso ? range.start : range.start - begin;
    switch (file.table->state) {
    case PlacedTable::State::pending:
        mapping.kind = UNWIND_MAPPING_PENDING;
        break;
    case PlacedTable::State::none:
        mapping.kind = UNWIND_MAPPING_FRAME_POINTER;
        break;
    case PlacedTable::State::noRoom:
        mapping.kind = UNWIND_MAPPING_NO_ROOM;
        break;
    case PlacedTable::State::ready:
        mapping.kind = UNWIND_MAPPING_TABLE;
        // The pages before the first with rules are not there.
        mapping.bias += uint64_t{file.table->firstPage} << UNWIND_PAGE_SHIFT;
        mapping.pages = file.table->pages;
        mapping.page_count = static_cast<__u16>(file.table->pageCount);
        break;
    }
    return mapping;
}

bool MappingList::publish(uint64_t nowNs, std::vector<Room> &retired) {
    auto sizeBytes = static_cast<uint32_t>(ranges_.size() * sizeof(unwind_mapping));
    std::optional<Room> room = arena_.take(sizeBytes);
    if (!room) {
        return false;
    }
    auto *to = reinterpret_cast<unwind_mapping *>(arena_.data(*room));
    for (const CodeRange &range : ranges_) {
        *to++ = describeRange(range);
    }
    if (room_) {
        retired.push_back(*room_);
    }
    room_ = room;
    word_ = uint64_t{room->place()} << 32 | ranges_.size();
    isDirty_ = false;
    isUrgent_ = false;
    nextPublishNs_ = nowNs + minPublishIntervalNs + publishIntervalPerRangeNs * ranges_.size();
    return true;
}

} // namespace hotspan::unwind
