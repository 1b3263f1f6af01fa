/** Debug sections that the linker compressed with zlib (gABI chapter 4, SHF_COMPRESSED; GNU's older .zdebug_). */
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"

namespace hotspan::unwind {

bool isCompressed(const symbols::Section &section);

/** Nothing where it is damaged, compressed in another way than zlib's, or larger than 64 MiB when inflated. */
std::optional<std::vector<uint8_t>> inflateSection(const symbols::ByteSource &source, const symbols::Section &section);

} // namespace hotspan::unwind
