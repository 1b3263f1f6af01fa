/**
 * Reading of DWARF's encodings (DWARF 5, section 7) out of a section, forwards and by jumps, through a window of
 * bounded size. A reader never goes beyond its section: after an error or at the end it gives zeros and says that it is
 * not good any more, so that loops test one flag.
 */
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "byte-source.h"

namespace hotspan::symbols {

/** How much work may be done for one question: what lies cannot keep a thread busy for long. */
class WorkLimit {
  public:
    /** `isCancelled` may be null. */
    WorkLimit(uint64_t milliseconds, const std::atomic<bool> *isCancelled);

    /** To be called once for each thing that is read, of 10 to 1,000 ns. False when there was enough. */
    bool step() { return (++steps_ & 1023) != 0 ? !isOver_ : look(); }
    bool isOver() const { return isOver_; }

  private:
    bool look();

    uint64_t endNs_;
    const std::atomic<bool> *isCancelled_;
    uint32_t steps_ = 0;
    bool isOver_ = false;
};

class DwarfCursor {
  public:
    explicit DwarfCursor(const ByteSource &source, size_t windowBytes = 16U << 10);

    uint64_t at() const { return windowAt_ + static_cast<uint64_t>(position_ - window_); }
    uint64_t sizeBytes() const { return source_.sizeBytes(); }
    /** False after a read beyond the end. seek() makes it good again. */
    bool isGood() const { return isGood_; }
    void seek(uint64_t offset);
    void skip(uint64_t count) {
        if (count <= static_cast<uint64_t>(windowEnd_ - position_)) {
            position_ += count;
        } else {
            seekFar(count);
        }
    }
    void fail() { isGood_ = false; }

    uint8_t u8() { return fixed<uint8_t>(); }
    uint16_t u16() { return fixed<uint16_t>(); }
    uint32_t u32() { return fixed<uint32_t>(); }
    uint64_t u64() { return fixed<uint64_t>(); }
    uint32_t u24() {
        uint32_t low = u16();
        return low | static_cast<uint32_t>(u8()) << 16;
    }
    /** An address of 4 or 8 bytes. */
    uint64_t address(uint8_t sizeBytes) { return sizeBytes == 4 ? u32() : u64(); }
    /** An offset: 8 bytes in 64-bit DWARF, else 4. */
    uint64_t offset(bool isDwarf64) { return isDwarf64 ? u64() : u32(); }
    uint64_t uleb();
    int64_t sleb();
    void skipLeb();
    void skipString();
    /** Up to the zero byte, or cut at maxStringBytes. */
    std::string string();

    static constexpr size_t maxStringBytes = 8192;

  private:
    template <typename Number> Number fixed() {
        if (static_cast<size_t>(windowEnd_ - position_) < sizeof(Number) && !fill(sizeof(Number))) {
            return 0;
        }
        Number value;
        __builtin_memcpy(&value, position_, sizeof value);
        position_ += sizeof value;
        return value;
    }
    bool fill(size_t needed);
    void seekFar(uint64_t count);

    ByteSource source_;
    size_t windowBytes_;
    size_t nextFillBytes_;
    std::vector<uint8_t> buffer_;
    /** Into the buffer, or into the source's own memory. */
    const uint8_t *window_ = nullptr;
    const uint8_t *windowEnd_ = nullptr;
    const uint8_t *position_ = nullptr;
    uint64_t windowAt_ = 0;
    bool isGood_ = true;
};

} // namespace hotspan::symbols
