/**
 * Code between what call frame information describes: hand-written assembly, C libraries that are built without it
 * (musl), V8's built-in functions. Its stack heights are followed from where its functions begin: symbols, calls, the
 * file's entry, and addresses that somebody holds. Rows that come of it are guesses as far as they trust the code to
 * keep to the calling convention.
 */
#pragma once

#include <cstdint>
#include <vector>

#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"
#include "code-range.h"
#include "stack-follower.h"

namespace hotspan::unwind {

class FollowedCode {
  public:
    /** Both must outlive it. */
    FollowedCode(const symbols::ByteSource &source, const symbols::ElfFile &elf);

    /** Follows the code that none of the sorted `known` ranges holds. */
    void follow(const std::vector<symbols::Section> &sections, const std::vector<CodeRange> &known);
    /** Most of the file's code was followed. */
    bool isMost() const;
    /** Adds ranges with rows to `ranges`, sorted, where none of the sorted `known` is. */
    void collect(const std::vector<CodeRange> &known, std::vector<CodeRange> &ranges) const;
    void rowsOf(const CodeRange &range, uint64_t end, RowSink &sink) const { follower_.rowsOf(range.begin, end, sink); }

  private:
    struct Gap {
        uint64_t begin;
        uint64_t end;
    };

    std::vector<Gap> gapsBetween(const std::vector<CodeRange> &known) const;
    void noteGapPages();
    bool isInGap(uint64_t address) const;
    void addSymbols(const std::vector<symbols::Section> &sections);
    void addSections(const std::vector<symbols::Section> &sections, bool isSmall);
    void addRelocations(const symbols::Section &section);
    void addPointers(const symbols::Section &section);
    void addCalls(const std::vector<CodeRange> &known);
    void addCallsOf(const CodeRange &range, const uint8_t *code);
    std::vector<uint8_t> read(uint64_t address, uint64_t sizeBytes) const;

    const symbols::ByteSource &source_;
    const symbols::ElfFile &elf_;
    uint64_t codeBytes_ = 0;
    /** Symbols, relocations and pointers that may still be looked at: twice those of the largest real files. */
    uint64_t entriesLeft_ = 2U << 20;
    std::vector<Gap> gaps_;
    std::vector<bool> gapPages_;
    std::vector<uint64_t> functions_;
    std::vector<uint64_t> candidates_;
    StackFollower follower_;
};

} // namespace hotspan::unwind
