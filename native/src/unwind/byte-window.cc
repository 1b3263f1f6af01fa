/** Reading of a part of a file in pieces. */
#include "byte-window.h"

#include <algorithm>

namespace hotspan::unwind {
namespace {

constexpr uint64_t maxWholeBytes = 64U << 20;
// Read so many times over, reading it all at once is what costs less.
constexpr uint64_t maxReadings = 4;

} // namespace

ByteWindow::ByteWindow(const symbols::ByteSource &source, uint64_t offset, uint64_t sizeBytes, size_t pieceBytes)
    : source_(source), offset_(std::min(offset, source.sizeBytes())),
      sizeBytes_(std::min(sizeBytes, source.sizeBytes() - offset_)), pieceBytes_(pieceBytes) {}

const uint8_t *ByteWindow::view(uint64_t offset, size_t sizeBytes) {
    if (offset >= bufferOffset_ && offset - bufferOffset_ <= buffer_.size() &&
        sizeBytes <= buffer_.size() - (offset - bufferOffset_)) {
        return buffer_.data() + (offset - bufferOffset_);
    }
    if (offset > sizeBytes_ || sizeBytes > sizeBytes_ - offset) {
        return nullptr;
    }
    if (readBytes_ > maxReadings * sizeBytes_ && sizeBytes_ <= maxWholeBytes && pieceBytes_ < sizeBytes_) {
        pieceBytes_ = static_cast<size_t>(sizeBytes_);
        bufferOffset_ = 0;
    } else {
        bufferOffset_ = pieceBytes_ >= sizeBytes_ ? 0 : offset;
    }
    buffer_.resize(
        static_cast<size_t>(std::min<uint64_t>(std::max(sizeBytes, pieceBytes_), sizeBytes_ - bufferOffset_)));
    buffer_.resize(source_.readSome(offset_ + bufferOffset_, buffer_.data(), buffer_.size()));
    readBytes_ += buffer_.size();
    uint64_t skipped = offset - bufferOffset_;
    if (skipped > buffer_.size() || sizeBytes > buffer_.size() - skipped) {
        return nullptr;
    }
    return buffer_.data() + skipped;
}

} // namespace hotspan::unwind
