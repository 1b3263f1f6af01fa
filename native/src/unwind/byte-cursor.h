/** Reads numbers from bytes that end somewhere: past the end everything is 0 and isGood is false. */
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hotspan::unwind {

class ByteCursor {
  public:
    ByteCursor(const uint8_t *begin, const uint8_t *end) : at_(begin), end_(end) {}

    bool isGood() const { return isGood_; }
    bool isAtEnd() const { return at_ >= end_; }
    const uint8_t *at() const { return at_; }
    size_t left() const { return static_cast<size_t>(end_ - at_); }

    template <typename T> T take() {
        T value{};
        if (left() < sizeof(T)) {
            fail();
            return value;
        }
        memcpy(&value, at_, sizeof value);
        at_ += sizeof value;
        return value;
    }

    void skip(uint64_t count) {
        if (count > left()) {
            fail();
        } else {
            at_ += count;
        }
    }

    /** LEB128, DWARF 5 section 7.6. Bits beyond 64 are dropped. */
    uint64_t takeUleb() {
        uint64_t value = 0;
        for (unsigned shift = 0; at_ < end_; shift += 7) {
            uint8_t byte = *at_++;
            if (shift < 64) {
                value |= uint64_t{byte & 0x7fU} << shift;
            }
            if ((byte & 0x80) == 0) {
                return value;
            }
        }
        fail();
        return 0;
    }

    int64_t takeSleb() {
        uint64_t value = 0;
        for (unsigned shift = 0; at_ < end_;) {
            uint8_t byte = *at_++;
            if (shift < 64) {
                value |= uint64_t{byte & 0x7fU} << shift;
            }
            shift += 7;
            if ((byte & 0x80) == 0) {
                if (shift < 64 && (byte & 0x40) != 0) {
                    value |= ~uint64_t{0} << shift;
                }
                return static_cast<int64_t>(value);
            }
        }
        fail();
        return 0;
    }

  private:
    void fail() {
        isGood_ = false;
        at_ = end_;
    }

    const uint8_t *at_;
    const uint8_t *end_;
    bool isGood_ = true;
};

} // namespace hotspan::unwind
