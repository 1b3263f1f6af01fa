/**
 * A section of call frame information: .eh_frame (Linux Standard Base 5.0, 10.6) or .debug_frame (DWARF 5, 6.4.1). It
 * is gone through once for what functions it describes; then the rows of each are asked for, in any order.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"
#include "byte-window.h"
#include "cfi-program.h"
#include "code-range.h"

namespace hotspan::unwind {

/** Where executable code is: descriptions of anything else are leftovers of functions that the linker dropped. */
class CodeSegments {
  public:
    explicit CodeSegments(const symbols::ElfFile &elf);
    /** How many bytes of code there are from the address on, up to the segment's end; 0 where there is no code. */
    uint32_t sizeFrom(uint64_t address) const;

  private:
    struct Span {
        uint64_t begin, end;
    };
    std::vector<Span> spans_;
};

constexpr size_t wholeSection = SIZE_MAX;

class CfiSection {
  public:
    /**
     * `bytes` must outlive the section, and its `sizeBytes` from `offset` on are the section. `address`: the section's
     * ELF address, which its pointers are relative to.
     */
    CfiSection(const symbols::ByteSource &bytes, uint64_t offset, uint64_t sizeBytes, uint64_t address,
               RangeOwner owner);

    /**
     * Adds the functions that the section describes. `functionCount`: it ends after so many (.eh_frame_hdr tells it);
     * wholeSection: it ends where `sizeBytes` does; 0: at its terminator.
     */
    void collect(const CodeSegments &code, std::vector<CodeRange> &ranges, size_t functionCount);
    /** Gives the rows of a function of collect(). False where its description is damaged. */
    bool rowsOf(const CodeRange &range, uint64_t end, RowSink &sink);

    size_t damagedCount() const { return damagedCount_; }

  private:
    struct Record {
        /** Of what follows the length, and of what follows the record. */
        uint64_t idOffset = 0;
        uint64_t endOffset = 0;
        /** The common entry's offset; nothing for a common entry itself. */
        std::optional<uint64_t> commonOffset;
        uint64_t bodyOffset = 0;
    };
    struct Common {
        CfiContext context;
        bool hasAugmentationSize = false;
    };
    struct Function {
        const Common *common = nullptr;
        uint64_t begin = 0;
        uint64_t sizeBytes = 0;
        const uint8_t *instructions = nullptr;
        const uint8_t *end = nullptr;
    };
    enum class Found { record, terminator, end };

    Found readRecord(ByteWindow &window, uint64_t offset, Record &record);
    std::optional<Function> readFunction(const Record &record);
    const Common *commonAt(uint64_t offset);
    std::optional<Common> readCommon(uint64_t offset);
    std::optional<uint64_t> takePointer(ByteCursor &cursor, uint8_t encoding, uint64_t fieldAddress) const;

    ByteWindow window_;
    /** Common entries often stand far from the functions that refer to them: their own window keeps the other's place.
     */
    ByteWindow commonWindow_;
    uint64_t address_;
    RangeOwner owner_;
    size_t damagedCount_ = 0;
    struct CachedCommon {
        uint64_t offset = ~uint64_t{0};
        std::optional<Common> common;
    };
    std::vector<CachedCommon> commons_;
};

} // namespace hotspan::unwind
