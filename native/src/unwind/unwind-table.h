/**
 * Unwind tables of ELF files, packed as bpf/lib/unwind-table.h lays them out: from .eh_frame, from .debug_frame where
 * there is no .eh_frame, and from Go's pclntab. x86-64 alone. What the file says is taken as a claim of a stranger:
 * memory and time are bounded, and a function with nonsense gets UNWIND_CFA_UNKNOWN.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../../../bpf/lib/unwind-table.h"
#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"

namespace hotspan::unwind {

/** More than this of packed bytes no file gets: it is the whole of the default cap of maps. */
constexpr size_t maxTableBytes = 32U << 20;

struct UnwindTable {
    /**
     * By page number from ELF address 0 on. `place` is the offset of the page's rules in `bytes`, in units of
     * UNWIND_UNIT; it has no meaning where row_count is 0. A page's bytes never exceed UNWIND_BLOCK_BYTES.
     */
    std::vector<unwind_page> pages;
    /** Rules, lows and indexes of all pages, each page's beginning at a multiple of UNWIND_UNIT. */
    std::vector<uint8_t> bytes;
    uint32_t rowCount = 0;
    /** "eh_frame", "debug_frame", "gopclntab", several joined by "+", or "none". */
    std::string source = "none";

    bool hasRules() const { return rowCount > 0; }
};

/** Bytes of a page from its place on, up to the next UNWIND_UNIT; 0 where it has no rows. */
size_t unwindPageBytes(const unwind_page &page);

/**
 * Never throws. Nothing where the file is none that could have a table (no 64-bit x86 ELF); `problem` is then the
 * reason. A table without rules, its source "none", where the file has no call frame information: frame pointers are
 * what is left. `problem` also tells what was left out of a table: damaged records, too many of them.
 */
std::optional<UnwindTable> buildUnwindTable(const symbols::ByteSource &source, const symbols::ElfFile &elf,
                                            std::string &problem);

/** The rule that holds at an ELF address, as the BPF programs find it; UNWIND_CFA_NONE (0) where there is none. */
uint32_t unwindRuleAt(const UnwindTable &table, uint64_t address);

/** A rule in words, for tests and messages: "rsp+8 rbp=cfa-16". */
std::string describeRule(uint32_t rule);

} // namespace hotspan::unwind
