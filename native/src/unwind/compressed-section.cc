/** Inflating of sections, in pieces, with the size that the header claims as a bound only. */
#include "compressed-section.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <zlib.h>

namespace hotspan::unwind {
namespace {

constexpr uint64_t maxInflatedBytes = 64U << 20;
constexpr size_t pieceBytes = 64 << 10;
// .zdebug_ sections open with "ZLIB" and the size, 8 bytes big endian.
constexpr size_t gnuHeaderBytes = 12;

/** The size when inflated, and how long the header is; nothing where the header is none. */
std::optional<std::pair<uint64_t, size_t>> readHeader(const symbols::ByteSource &source,
                                                      const symbols::Section &section) {
    if ((section.flags & SHF_COMPRESSED) != 0) {
        Elf64_Chdr header;
        if (!source.readAt(section.offset, &header, sizeof header) || header.ch_type != ELFCOMPRESS_ZLIB) {
            return std::nullopt;
        }
        return std::pair(header.ch_size, sizeof header);
    }
    uint8_t header[gnuHeaderBytes];
    if (!source.readAt(section.offset, header, sizeof header) || memcmp(header, "ZLIB", 4) != 0) {
        return std::nullopt;
    }
    uint64_t sizeBytes = 0;
    for (size_t i = 4; i < gnuHeaderBytes; i++) {
        sizeBytes = sizeBytes << 8 | header[i];
    }
    return std::pair(sizeBytes, gnuHeaderBytes);
}

} // namespace

bool isCompressed(const symbols::Section &section) {
    return (section.flags & SHF_COMPRESSED) != 0 || section.name.starts_with(".zdebug_");
}

std::optional<std::vector<uint8_t>> inflateSection(const symbols::ByteSource &source, const symbols::Section &section) {
    auto header = readHeader(source, section);
    if (!header || header->first > maxInflatedBytes || section.sizeBytes < header->second) {
        return std::nullopt;
    }
    uint64_t offset = section.offset + header->second;
    uint64_t left = section.sizeBytes - header->second;
    // What was inflated so far bounds the memory, not the claim: it grows as real data comes.
    std::vector<uint8_t> out;
    std::vector<uint8_t> in(pieceBytes);
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) {
        return std::nullopt;
    }
    int code = Z_OK;
    while (code == Z_OK && out.size() < header->first) {
        if (stream.avail_in == 0) {
            size_t got = source.readSome(offset, in.data(), static_cast<size_t>(std::min<uint64_t>(left, in.size())));
            offset += got;
            left -= got;
            stream.next_in = in.data();
            stream.avail_in = static_cast<uInt>(got);
        }
        size_t done = out.size();
        out.resize(static_cast<size_t>(std::min<uint64_t>(done + pieceBytes, header->first)));
        stream.next_out = out.data() + done;
        stream.avail_out = static_cast<uInt>(out.size() - done);
        code = inflate(&stream, Z_NO_FLUSH);
        out.resize(out.size() - stream.avail_out);
    }
    inflateEnd(&stream);
    if (out.size() != header->first) {
        return std::nullopt;
    }
    return out;
}

} // namespace hotspan::unwind
