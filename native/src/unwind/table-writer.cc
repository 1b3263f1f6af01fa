/** Packing of rows into pages. */
#include "table-writer.h"

#include <algorithm>
#include <cstring>

namespace hotspan::unwind {
namespace {

// A power of two, and twice the rules of a page at least.
constexpr size_t slotCount = 2 * maxPageRules;

size_t roundUp(size_t sizeBytes, size_t unit) {
    return (sizeBytes + unit - 1) / unit * unit;
}

} // namespace

size_t unwindPageBytes(const unwind_page &page) {
    if (page.row_count == 0) {
        return 0;
    }
    size_t rows = page.row_count;
    size_t sizeBytes = (page.rules >> 1) * sizeof(uint32_t) + rows * sizeof(uint16_t);
    sizeBytes += (page.rules & UNWIND_PAGE_WIDE) != 0 ? rows * sizeof(uint16_t) : rows;
    return roundUp(sizeBytes, UNWIND_UNIT);
}

TableWriter::TableWriter() : slots_(slotCount) {}

void TableWriter::add(uint32_t address, uint32_t rule) {
    if (address != pendingAddress_) {
        writePending();
        pendingAddress_ = address;
    }
    pendingRule_ = rule;
}

void TableWriter::writePending() {
    if (pendingRule_ == writtenRule_ || isFull_) {
        return;
    }
    uint32_t page = pendingAddress_ >> UNWIND_PAGE_SHIFT;
    if (page >= maxPages) {
        isFull_ = true;
        return;
    }
    while (table_.pages.size() < page) {
        closePage();
    }
    auto low = static_cast<uint16_t>(pendingAddress_);
    if (lows_.empty() && low != 0) {
        addRow(0, writtenRule_);
    }
    addRow(low, pendingRule_);
    writtenRule_ = pendingRule_;
}

void TableWriter::addRow(uint16_t low, uint32_t rule) {
    if (lows_.size() == maxPageRows || rules_.size() == maxPageRules) {
        return;
    }
    // The last place is for the row that says that the rest is not known.
    if (lows_.size() == maxPageRows - 1 || rules_.size() == maxPageRules - 1) {
        rule = UNWIND_CFA_UNKNOWN;
    }
    lows_.push_back(low);
    indexes_.push_back(indexOf(rule));
}

uint16_t TableWriter::indexOf(uint32_t rule) {
    size_t slot = (rule * 0x9e3779b1U) >> 18 & (slotCount - 1);
    while (slots_[slot] != 0) {
        if (rules_[slots_[slot] - 1U] == rule) {
            return static_cast<uint16_t>(slots_[slot] - 1);
        }
        slot = (slot + 1) & (slotCount - 1);
    }
    rules_.push_back(rule);
    slots_[slot] = static_cast<uint16_t>(rules_.size());
    return static_cast<uint16_t>(rules_.size() - 1);
}

void TableWriter::closePage() {
    if (lows_.empty() && writtenRule_ != UNWIND_CFA_NONE) {
        addRow(0, writtenRule_);
    }
    unwind_page page{};
    if (lows_.size() > 1 || (lows_.size() == 1 && rules_[0] != UNWIND_CFA_NONE)) {
        bool isWide = rules_.size() > 256;
        page.place = static_cast<uint32_t>(table_.bytes.size() / UNWIND_UNIT);
        page.row_count = static_cast<uint16_t>(lows_.size());
        page.rules = static_cast<uint16_t>(rules_.size() << 1 | (isWide ? UNWIND_PAGE_WIDE : 0));
        size_t offset = table_.bytes.size();
        isFull_ = isFull_ || offset + unwindPageBytes(page) > maxTableBytes;
        if (isFull_) {
            page = {};
        } else {
            table_.bytes.resize(offset + unwindPageBytes(page));
            uint8_t *out = table_.bytes.data() + offset;
            memcpy(out, rules_.data(), rules_.size() * sizeof(uint32_t));
            out += rules_.size() * sizeof(uint32_t);
            memcpy(out, lows_.data(), lows_.size() * sizeof(uint16_t));
            out += lows_.size() * sizeof(uint16_t);
            if (isWide) {
                memcpy(out, indexes_.data(), indexes_.size() * sizeof(uint16_t));
            } else {
                std::copy(indexes_.begin(), indexes_.end(), out);
            }
            table_.rowCount += static_cast<uint32_t>(lows_.size());
        }
    }
    table_.pages.push_back(page);
    if (!rules_.empty()) {
        std::fill(slots_.begin(), slots_.end(), uint16_t{0});
    }
    rules_.clear();
    lows_.clear();
    indexes_.clear();
}

UnwindTable TableWriter::finish() {
    writePending();
    // A page that would only say that nothing is there: the table ends before it.
    if (lows_.size() > 1 || (lows_.size() == 1 && rules_[0] != UNWIND_CFA_NONE)) {
        closePage();
    }
    table_.bytes.shrink_to_fit();
    table_.pages.shrink_to_fit();
    return std::move(table_);
}

} // namespace hotspan::unwind
