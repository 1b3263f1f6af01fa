/** The window of a cursor, and numbers and strings of any length. */
#include "dwarf-cursor.h"

#include <algorithm>
#include <cstring>

#include "clock.h"

namespace hotspan::symbols {
namespace {

// After a jump little is read at first: often one entry or one string alone is wanted there.
constexpr size_t firstFillBytes = 1024;

} // namespace

WorkLimit::WorkLimit(uint64_t milliseconds, const std::atomic<bool> *isCancelled)
    : endNs_(monotonicNs() + milliseconds * nsPerMs), isCancelled_(isCancelled) {}

bool WorkLimit::look() {
    isOver_ = isOver_ || monotonicNs() > endNs_ || (isCancelled_ != nullptr && *isCancelled_);
    return !isOver_;
}

DwarfCursor::DwarfCursor(const ByteSource &source, size_t windowBytes)
    : source_(source), windowBytes_(windowBytes), nextFillBytes_(firstFillBytes) {
    if (source.inMemory() != nullptr) {
        window_ = position_ = source.inMemory();
        windowEnd_ = window_ + source.sizeBytes();
        return;
    }
    buffer_.resize(static_cast<size_t>(std::min<uint64_t>(windowBytes_, source.sizeBytes())) + 1);
    window_ = windowEnd_ = position_ = buffer_.data();
}

void DwarfCursor::seek(uint64_t offset) {
    isGood_ = offset <= source_.sizeBytes();
    if (!isGood_) {
        return;
    }
    if (offset >= windowAt_ && offset - windowAt_ <= static_cast<uint64_t>(windowEnd_ - window_)) {
        position_ = window_ + (offset - windowAt_);
        return;
    }
    windowAt_ = offset;
    window_ = windowEnd_ = position_ = buffer_.data();
    nextFillBytes_ = firstFillBytes;
}

void DwarfCursor::seekFar(uint64_t count) {
    uint64_t here = at();
    if (!isGood_ || count > source_.sizeBytes() - here) {
        isGood_ = false;
        return;
    }
    seek(here + count);
}

bool DwarfCursor::fill(size_t needed) {
    if (!isGood_ || source_.inMemory() != nullptr) {
        isGood_ = false;
        return false;
    }
    windowAt_ = at();
    size_t got = source_.readSome(windowAt_, buffer_.data(), std::min(buffer_.size() - 1, nextFillBytes_));
    nextFillBytes_ = std::min(nextFillBytes_ * 4, windowBytes_);
    window_ = position_ = buffer_.data();
    windowEnd_ = window_ + got;
    isGood_ = got >= needed;
    return isGood_;
}

uint64_t DwarfCursor::uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = u8();
        if (shift < 64) {
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        }
        if ((byte & 0x80) == 0) {
            return value;
        }
        if (shift > 140) {
            isGood_ = false;
            return 0;
        }
    }
}

int64_t DwarfCursor::sleb() {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = u8();
        if (shift < 64) {
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        }
        if ((byte & 0x80) == 0) {
            if (shift + 7 < 64 && (byte & 0x40) != 0) {
                value |= ~0ULL << (shift + 7);
            }
            return static_cast<int64_t>(value);
        }
        if (shift > 140) {
            isGood_ = false;
            return 0;
        }
    }
}

void DwarfCursor::skipLeb() {
    while ((u8() & 0x80) != 0 && isGood_) {
    }
}

void DwarfCursor::skipString() {
    // No string of a compiler's is longer; skipping a file's length again and again would take for ever.
    constexpr uint64_t maxSkippedBytes = 1U << 20;
    uint64_t begin = at();
    for (;;) {
        if ((position_ == windowEnd_ && !fill(1)) || at() - begin > maxSkippedBytes) {
            isGood_ = false;
            return;
        }
        const void *end = memchr(position_, 0, static_cast<size_t>(windowEnd_ - position_));
        if (end != nullptr) {
            position_ = static_cast<const uint8_t *>(end) + 1;
            return;
        }
        position_ = windowEnd_;
    }
}

std::string DwarfCursor::string() {
    std::string text;
    for (;;) {
        if (position_ == windowEnd_ && !fill(1)) {
            return text;
        }
        size_t there = std::min(static_cast<size_t>(windowEnd_ - position_), maxStringBytes - text.size());
        const void *end = memchr(position_, 0, there);
        size_t taken = end != nullptr ? static_cast<size_t>(static_cast<const uint8_t *>(end) - position_) : there;
        text.append(reinterpret_cast<const char *>(position_), taken);
        position_ += taken + (end != nullptr ? 1 : 0);
        if (end != nullptr || text.size() == maxStringBytes) {
            return text;
        }
    }
}

} // namespace hotspan::symbols
