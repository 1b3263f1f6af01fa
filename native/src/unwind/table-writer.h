/**
 * Packs rows, given in order of addresses, into pages as bpf/lib/unwind-table.h lays them out. Neighbours with the same
 * rule become one row. Nothing is kept per row but its packed bytes.
 */
#pragma once

#include <cstdint>
#include <vector>

#include "unwind-table.h"

namespace hotspan::unwind {

/** What a page may have; the densest real ones have 12,000 rows and 700 rules. All of it fits into a block. */
constexpr size_t maxPageRows = 32768;
constexpr size_t maxPageRules = 8192;
/** A table has at most this many pages: unwind_mapping.page_count. */
constexpr uint32_t maxPages = 65535;

class TableWriter {
  public:
    TableWriter();

    /** The rule holds from the address on, until the next call's address. Addresses never fall. */
    void add(uint32_t address, uint32_t rule);
    /** The table would have become larger than maxTableBytes: it ends before that. */
    bool isFull() const { return isFull_; }
    /** Closes the last page and gives the table away. The last rule added must be UNWIND_CFA_NONE. */
    UnwindTable finish();

  private:
    void writePending();
    void beginPage(uint32_t page);
    void closePage();
    void addRow(uint16_t low, uint32_t rule);
    uint16_t indexOf(uint32_t rule);

    UnwindTable table_;
    uint32_t pendingAddress_ = 0;
    uint32_t pendingRule_ = UNWIND_CFA_NONE;
    uint32_t writtenRule_ = UNWIND_CFA_NONE;
    /** The open page is pages.size(): those before it are closed. */
    std::vector<uint32_t> rules_;
    std::vector<uint16_t> lows_;
    std::vector<uint16_t> indexes_;
    /** Number of a rule + 1 by hash, with linear probing. */
    std::vector<uint16_t> slots_;
    bool isFull_ = false;
};

} // namespace hotspan::unwind
