/**
 * A part of a file, read in pieces, so that a section of 100 MB costs 128 KiB of memory. If it turns out to be read in
 * no order (the linker sorted the functions), it is read as a whole, up to 64 MiB.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../symbols/byte-source.h"

namespace hotspan::unwind {

class ByteWindow {
  public:
    /** The source must outlive the window. */
    ByteWindow(const symbols::ByteSource &source, uint64_t offset, uint64_t sizeBytes, size_t pieceBytes = 128 << 10);

    uint64_t sizeBytes() const { return sizeBytes_; }

    /**
     * Bytes at an offset of the part, valid until the next call; nullptr where the part ends before, or the file does.
     */
    const uint8_t *view(uint64_t offset, size_t sizeBytes);

  private:
    const symbols::ByteSource &source_;
    uint64_t offset_;
    uint64_t sizeBytes_;
    size_t pieceBytes_;
    std::vector<uint8_t> buffer_;
    uint64_t bufferOffset_ = 0;
    uint64_t readBytes_ = 0;
};

} // namespace hotspan::unwind
