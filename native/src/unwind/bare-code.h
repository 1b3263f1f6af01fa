/**
 * Code that no call frame information describes, and whose shape tells all the same how to go on from it: where the
 * kernel enters a program, where musl's threads begin, and the stubs of procedure linkage tables. What has another
 * shape is left alone.
 */
#pragma once

#include <cstdint>
#include <vector>

#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"
#include "cfi-program.h"
#include "cfi-section.h"
#include "code-range.h"

namespace hotspan::unwind {

class BareCode {
  public:
    /** All must outlive it. */
    BareCode(const symbols::ByteSource &source, const symbols::ElfFile &elf) : source_(source), elf_(elf) {}

    /** Adds to `ranges`, looking only where none of the sorted `known` ones is; what it adds is not sorted. */
    void collect(const CodeSegments &code, const std::vector<symbols::Section> &sections,
                 const std::vector<CodeRange> &known, std::vector<CodeRange> &ranges);
    /** Gives the rows of a range of collect(). */
    bool rowsOf(const CodeRange &range, uint64_t end, RowSink &sink) const;

  private:
    void addEntry(std::vector<CodeRange> &ranges);
    void addThreadStarts(const std::vector<CodeRange> &known, std::vector<CodeRange> &ranges);
    void searchGap(uint64_t begin, uint64_t end, std::vector<CodeRange> &ranges);
    void addStubs(const symbols::Section &section, std::vector<CodeRange> &ranges);
    std::vector<uint8_t> read(uint64_t address, size_t sizeBytes) const;

    const symbols::ByteSource &source_;
    const symbols::ElfFile &elf_;
};

} // namespace hotspan::unwind
