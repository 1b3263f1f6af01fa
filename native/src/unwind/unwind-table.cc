/** Building of tables: what describes the file's functions, merged by address, packed by TableWriter. */
#include "unwind-table.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <memory>

#include "bare-code.h"
#include "cfi-section.h"
#include "code-range.h"
#include "compressed-section.h"
#include "eh-frame-header.h"
#include "followed-code.h"
#include "go-rows.h"
#include "table-writer.h"

namespace hotspan::unwind {
namespace {

using symbols::ByteSource;
using symbols::ElfFile;
using symbols::Section;

// Linkers pad functions to 16 bytes. So small a gap is padding, and a row of its own would double the table.
constexpr uint64_t maxPaddingBytes = 15;

class WriterSink : public RowSink {
  public:
    explicit WriterSink(TableWriter &writer) : writer_(writer) {}
    void row(uint64_t address, uint32_t rule) override { writer_.add(static_cast<uint32_t>(address), rule); }

  private:
    TableWriter &writer_;
};

bool isBefore(const CodeRange &a, const CodeRange &b) {
    return a.begin != b.begin ? a.begin < b.begin : a.place < b.place;
}

void sortRanges(std::vector<CodeRange> &ranges) {
    if (!std::is_sorted(ranges.begin(), ranges.end(), isBefore)) {
        std::sort(ranges.begin(), ranges.end(), isBefore);
    }
}

/** Adds those functions that nothing better described yet; both are sorted, and so is what comes of it. */
void mergeRanges(std::vector<CodeRange> &ranges, const std::vector<CodeRange> &more) {
    size_t known = ranges.size();
    size_t at = 0;
    uint64_t coveredEnd = 0;
    for (const CodeRange &range : more) {
        for (; at < known && ranges[at].begin <= range.begin; at++) {
            coveredEnd = std::max(coveredEnd, ranges[at].end());
        }
        if (range.begin >= coveredEnd) {
            ranges.push_back(range);
        }
    }
    std::inplace_merge(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(known), ranges.end(), isBefore);
}

class TableBuilder {
  public:
    TableBuilder(const ByteSource &source, const ElfFile &elf)
        : source_(source), elf_(elf), code_(elf), bareCode_(source, elf), followed_(source, elf) {}

    UnwindTable build(std::string &problem);

  private:
    void collectEhFrame();
    void collectGo();
    void collectDebugFrame();
    void collectBareCode();
    void collectFrom(std::unique_ptr<CfiSection> &section, size_t functionCount, const char *name);
    void add(std::vector<CodeRange> ranges, const char *name);
    void writeRows(TableWriter &writer);
    void writeRange(const CodeRange &range, uint64_t end, RowSink &sink);
    bool bareRowsOf(const CodeRange &range, uint64_t end, RowSink &sink) const;
    const Section *findSection(const char *name) const;

    const ByteSource &source_;
    const ElfFile &elf_;
    CodeSegments code_;
    std::vector<Section> sections_;
    std::unique_ptr<CfiSection> ehFrame_;
    std::optional<symbols::GoModule> goModule_;
    std::unique_ptr<GoRows> goRows_;
    std::unique_ptr<CfiSection> debugFrame_;
    BareCode bareCode_;
    FollowedCode followed_;
    std::vector<uint8_t> inflated_;
    ByteSource inflatedSource_;
    std::vector<CodeRange> ranges_;
    std::string names_;
    std::string problem_;
    size_t damagedCount_ = 0;
};

const Section *TableBuilder::findSection(const char *name) const {
    for (const Section &section : sections_) {
        if (section.type != SHT_NOBITS && section.name == name) {
            return &section;
        }
    }
    return nullptr;
}

void TableBuilder::add(std::vector<CodeRange> ranges, const char *name) {
    sortRanges(ranges);
    size_t before = ranges_.size();
    if (before == 0) {
        ranges_ = std::move(ranges);
    } else {
        mergeRanges(ranges_, ranges);
    }
    if (ranges_.size() > before) {
        names_ += (names_.empty() ? "" : "+") + std::string(name);
    }
}

void TableBuilder::collectFrom(std::unique_ptr<CfiSection> &section, size_t functionCount, const char *name) {
    std::vector<CodeRange> ranges;
    section->collect(code_, ranges, functionCount);
    damagedCount_ += section->damagedCount();
    add(std::move(ranges), name);
}

void TableBuilder::collectEhFrame() {
    if (const Section *section = findSection(".eh_frame")) {
        ehFrame_ = std::make_unique<CfiSection>(source_, section->offset, section->sizeBytes, section->address,
                                                RangeOwner::ehFrame);
        collectFrom(ehFrame_, wholeSection, "eh_frame");
    } else if (std::optional<EhFrameHeader> header = readEhFrameHeader(source_, elf_)) {
        ehFrame_ = std::make_unique<CfiSection>(source_, header->fileOffset, header->maxSizeBytes, header->address,
                                                RangeOwner::ehFrame);
        collectFrom(ehFrame_, header->functionCount, "eh_frame");
    }
}

void TableBuilder::collectGo() {
    goModule_ = symbols::findGoModule(source_, elf_, sections_);
    if (goModule_) {
        goRows_ = std::make_unique<GoRows>(source_, elf_, *goModule_);
        std::vector<CodeRange> ranges;
        goRows_->collect(code_, ranges);
        add(std::move(ranges), "gopclntab");
    }
}

void TableBuilder::collectDebugFrame() {
    const Section *section = findSection(".debug_frame");
    section = section != nullptr ? section : findSection(".zdebug_frame");
    if (section == nullptr) {
        return;
    }
    if (!isCompressed(*section)) {
        debugFrame_ =
            std::make_unique<CfiSection>(source_, section->offset, section->sizeBytes, 0, RangeOwner::debugFrame);
    } else if (auto bytes = inflateSection(source_, *section)) {
        inflated_ = std::move(*bytes);
        inflatedSource_ = ByteSource::ofMemory(inflated_.data(), inflated_.size());
        debugFrame_ = std::make_unique<CfiSection>(inflatedSource_, 0, inflated_.size(), 0, RangeOwner::debugFrame);
    } else {
        problem_ = ".debug_frame could not be inflated";
        return;
    }
    collectFrom(debugFrame_, wholeSection, "debug_frame");
}

void TableBuilder::collectBareCode() {
    followed_.follow(sections_, ranges_);
    // A file that describes nothing is walked by frame pointers, with roots as these have them, where little of it
    // could be followed.
    if (ranges_.empty() && !followed_.isMost()) {
        return;
    }
    std::vector<CodeRange> ranges;
    bareCode_.collect(code_, sections_, ranges_, ranges);
    sortRanges(ranges);
    mergeRanges(ranges_, ranges);
    ranges.clear();
    followed_.collect(ranges_, ranges);
    add(std::move(ranges), "followed");
}

bool TableBuilder::bareRowsOf(const CodeRange &range, uint64_t end, RowSink &sink) const {
    if (range.offset() != followedShape) {
        return bareCode_.rowsOf(range, end, sink);
    }
    followed_.rowsOf(range, end, sink);
    return true;
}

void TableBuilder::writeRange(const CodeRange &range, uint64_t end, RowSink &sink) {
    // Stands if the function gives no rows at all.
    sink.row(range.begin, UNWIND_CFA_UNKNOWN);
    bool isSound = range.owner() == RangeOwner::ehFrame     ? ehFrame_->rowsOf(range, end, sink)
                   : range.owner() == RangeOwner::gopclntab ? goRows_->rowsOf(range, end, sink)
                   : range.owner() == RangeOwner::shape     ? bareRowsOf(range, end, sink)
                                                            : debugFrame_->rowsOf(range, end, sink);
    damagedCount_ += isSound ? 0 : 1;
}

void TableBuilder::writeRows(TableWriter &writer) {
    WriterSink sink(writer);
    uint64_t lastEnd = 0;
    for (size_t i = 0; i < ranges_.size() && !writer.isFull(); i++) {
        const CodeRange &range = ranges_[i];
        // Described twice: the first is as good as the second.
        if (i > 0 && range.begin == ranges_[i - 1].begin) {
            continue;
        }
        size_t next = i + 1;
        while (next < ranges_.size() && ranges_[next].begin == range.begin) {
            next++;
        }
        uint64_t end = next < ranges_.size() ? std::min<uint64_t>(range.end(), ranges_[next].begin) : range.end();
        if (range.begin > lastEnd + maxPaddingBytes) {
            writer.add(static_cast<uint32_t>(lastEnd), UNWIND_CFA_NONE);
        }
        writeRange(range, end, sink);
        lastEnd = end;
    }
    writer.add(static_cast<uint32_t>(lastEnd), UNWIND_CFA_NONE);
}

UnwindTable TableBuilder::build(std::string &problem) {
    sections_ = elf_.readSections(source_);
    collectEhFrame();
    collectGo();
    collectDebugFrame();
    collectBareCode();
    sections_ = {};
    TableWriter writer;
    writeRows(writer);
    UnwindTable table = writer.finish();
    table.source = table.hasRules() ? names_ : "none";
    if (writer.isFull()) {
        problem_ = "the table would need more than " + std::to_string(maxTableBytes >> 20) + " MiB";
    } else if (damagedCount_ > 0) {
        problem_ = std::to_string(damagedCount_) + " records of call frame information are damaged";
    }
    problem = problem_;
    return table;
}

} // namespace

std::optional<UnwindTable> buildUnwindTable(const ByteSource &source, const ElfFile &elf, std::string &problem) {
    if (!elf.is64() || elf.machine() != EM_X86_64) {
        problem = "not a 64-bit x86 file";
        return std::nullopt;
    }
    return TableBuilder(source, elf).build(problem);
}

uint32_t unwindRuleAt(const UnwindTable &table, uint64_t address) {
    uint64_t number = address >> UNWIND_PAGE_SHIFT;
    if (number >= table.pages.size() || table.pages[number].row_count == 0) {
        return UNWIND_CFA_NONE;
    }
    const unwind_page &page = table.pages[number];
    const uint8_t *rules = table.bytes.data() + size_t{page.place} * UNWIND_UNIT;
    const uint8_t *lows = rules + (page.rules >> 1) * sizeof(uint32_t);
    const uint8_t *indexes = lows + page.row_count * sizeof(uint16_t);
    auto lowAt = [&](size_t row) {
        uint16_t low = 0;
        memcpy(&low, lows + row * sizeof low, sizeof low);
        return low;
    };
    // The last row that begins at the address or before; the first begins at 0.
    size_t row = 0;
    for (size_t count = page.row_count; count > 1;) {
        size_t half = count / 2;
        row += lowAt(row + half) <= static_cast<uint16_t>(address) ? half : 0;
        count -= half;
    }
    uint16_t index = indexes[row];
    if ((page.rules & UNWIND_PAGE_WIDE) != 0) {
        memcpy(&index, indexes + row * sizeof index, sizeof index);
    }
    uint32_t rule = 0;
    memcpy(&rule, rules + index * sizeof rule, sizeof rule);
    return rule;
}

} // namespace hotspan::unwind
