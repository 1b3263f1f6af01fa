/** Demangling of Rust's older mangling, which borrowed the form of C++'s nested names. */
#include "rust-demangle.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "unicode-text.h"

namespace hotspan::symbols {
namespace {

bool isDigit(char c) {
    return c >= '0' && c <= '9';
}
int hexDigit(char c) {
    return isDigit(c) ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

/** "$LT$" and its like of the legacy mangling; the text after it, or nothing where the escape is unknown. */
std::optional<std::string_view> takeEscape(std::string_view text, std::string &out) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 9> escapes{{{"$SP$", "@"},
                                                                                           {"$BP$", "*"},
                                                                                           {"$RF$", "&"},
                                                                                           {"$LT$", "<"},
                                                                                           {"$GT$", ">"},
                                                                                           {"$LP$", "("},
                                                                                           {"$RP$", ")"},
                                                                                           {"$C$", ","},
                                                                                           {"..", "::"}}};
    for (const auto &[escape, meaning] : escapes) {
        if (text.starts_with(escape)) {
            out += meaning;
            return text.substr(escape.size());
        }
    }
    size_t end = text.find('$', 1);
    if (!text.starts_with("$u") || end == std::string_view::npos || end > 8) {
        return std::nullopt;
    }
    uint32_t c = 0;
    for (char digit : text.substr(2, end - 2)) {
        if (hexDigit(digit) < 0) {
            return std::nullopt;
        }
        c = c * 16 + static_cast<uint32_t>(hexDigit(digit));
    }
    if (!isScalarValue(c) || c < 0x20) {
        return std::nullopt;
    }
    appendUtf8(out, c);
    return text.substr(end + 1);
}

} // namespace

bool demangleRustLegacy(std::string_view symbol, std::string &name) {
    // What LLVM appends when it splits a module (".llvm.1234567890") is no part of the name.
    symbol = symbol.substr(0, symbol.find(".llvm."));
    size_t at = 3;
    std::vector<std::string_view> parts;
    while (at < symbol.size() && isDigit(symbol[at])) {
        size_t length = 0;
        while (at < symbol.size() && isDigit(symbol[at]) && length < symbol.size()) {
            length = length * 10 + static_cast<size_t>(symbol[at++] - '0');
        }
        if (length == 0 || length > symbol.size() - at) {
            return false;
        }
        parts.push_back(symbol.substr(at, length));
        at += length;
    }
    if (parts.size() < 2 || at >= symbol.size() || symbol[at] != 'E' || parts.back().size() != 17 ||
        parts.back()[0] != 'h') {
        return false;
    }
    for (char c : parts.back().substr(1)) {
        if (hexDigit(c) < 0) {
            return false;
        }
    }
    parts.pop_back();
    name.clear();
    for (std::string_view part : parts) {
        name += name.empty() ? "" : "::";
        // A part that would begin with an escape got an underscore in front, to be an identifier.
        part.remove_prefix(part.starts_with("_$") ? 1 : 0);
        while (!part.empty()) {
            if (std::optional<std::string_view> rest = takeEscape(part, name)) {
                part = *rest;
            } else {
                name += part[0];
                part.remove_prefix(1);
            }
        }
    }
    return true;
}

} // namespace hotspan::symbols
