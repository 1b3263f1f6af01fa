/** UTF-8 and punycode. */
#include "unicode-text.h"

#include <vector>

namespace hotspan::symbols {

void appendUtf8(std::string &out, uint32_t c) {
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xc0 | (c >> 6));
        out += static_cast<char>(0x80 | (c & 63));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xe0 | (c >> 12));
        out += static_cast<char>(0x80 | ((c >> 6) & 63));
        out += static_cast<char>(0x80 | (c & 63));
    } else {
        out += static_cast<char>(0xf0 | (c >> 18));
        out += static_cast<char>(0x80 | ((c >> 12) & 63));
        out += static_cast<char>(0x80 | ((c >> 6) & 63));
        out += static_cast<char>(0x80 | (c & 63));
    }
}

bool isScalarValue(uint64_t c) {
    return c < 0xd800 || (c >= 0xe000 && c <= 0x10ffff);
}

bool decodePunycode(std::string_view text, std::string &out) {
    constexpr uint32_t base = 36, tMin = 1, tMax = 26, skew = 38;
    std::vector<uint32_t> points;
    size_t delimiter = text.rfind('_');
    if (delimiter != std::string_view::npos) {
        points.assign(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(delimiter));
        text.remove_prefix(delimiter + 1);
    }
    uint64_t n = 128, i = 0, bias = 72, damp = 700;
    while (!text.empty()) {
        uint64_t previous = i, weight = 1;
        for (uint64_t k = base;; k += base) {
            if (text.empty() || weight > UINT32_MAX || i > UINT32_MAX) {
                return false;
            }
            char c = text[0];
            text.remove_prefix(1);
            bool isLower = c >= 'a' && c <= 'z';
            if (!isLower && (c < '0' || c > '9')) {
                return false;
            }
            uint64_t digit = static_cast<uint64_t>(isLower ? c - 'a' : c - '0' + 26);
            i += digit * weight;
            uint64_t t = k <= bias ? tMin : (k >= bias + tMax ? tMax : k - bias);
            if (digit < t) {
                break;
            }
            weight *= base - t;
        }
        uint64_t count = points.size() + 1;
        uint64_t delta = (i - previous) / damp;
        damp = 2;
        delta += delta / count;
        uint64_t k = 0;
        for (; delta > ((base - tMin) * tMax) / 2; k += base) {
            delta /= base - tMin;
        }
        bias = k + (base - tMin + 1) * delta / (delta + skew);
        n += i / count;
        i %= count;
        if (!isScalarValue(n) || points.size() >= 512) {
            return false;
        }
        points.insert(points.begin() + static_cast<std::ptrdiff_t>(i++), static_cast<uint32_t>(n));
    }
    for (uint32_t point : points) {
        appendUtf8(out, point);
    }
    return true;
}

} // namespace hotspan::symbols
