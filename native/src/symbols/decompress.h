/**
 * Unpacking of compressed parts of ELF files: zlib and zstd for debug sections (gABI, Elf64_Chdr), xz for
 * .gnu_debugdata. What a file says of its unpacked size is a claim: nothing grows beyond the bound that the caller
 * gives.
 */
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "byte-source.h"

namespace hotspan::symbols {

enum class Packing : uint8_t { zlib, zstd };

/** Takes unpacked bytes in order; false ends the unpacking. */
using UnpackedSink = std::function<bool(const uint8_t *bytes, size_t sizeBytes)>;

/** A part of a source. */
struct PackedPart {
    uint64_t offset = 0;
    uint64_t sizeBytes = 0;
};

/** True where the data was whole and gave exactly `unpackedBytes`. */
bool unpack(const ByteSource &source, PackedPart part, Packing packing, uint64_t unpackedBytes,
            const UnpackedSink &sink);

/** Nothing where it is damaged or larger than `maxBytes`. */
std::optional<std::vector<uint8_t>> unpackXz(const ByteSource &source, PackedPart part, uint64_t maxBytes);

} // namespace hotspan::symbols
