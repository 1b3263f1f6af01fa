/** .eh_frame_hdr (Linux Standard Base 5.0, 10.6.2): where .eh_frame is in a file whose section headers are gone. */
#pragma once

#include <cstdint>
#include <optional>

#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"

namespace hotspan::unwind {

struct EhFrameHeader {
    /** Of .eh_frame. */
    uint64_t address = 0;
    uint64_t fileOffset = 0;
    /** Up to the end of its segment: .eh_frame itself is shorter. */
    uint64_t maxSizeBytes = 0;
    /** How many functions it describes; 0 where the header does not say. */
    uint32_t functionCount = 0;
};

std::optional<EhFrameHeader> readEhFrameHeader(const symbols::ByteSource &source, const symbols::ElfFile &elf);

} // namespace hotspan::unwind
