/** Text beyond ASCII in mangled names. */
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hotspan::symbols {

/** Not a surrogate, and within Unicode. */
bool isScalarValue(uint64_t c);
void appendUtf8(std::string &out, uint32_t c);
/** Punycode (RFC 3492) with "_" as delimiter, as Rust uses it. False where it is malformed or too long to be an
 * identifier. */
bool decodePunycode(std::string_view text, std::string &out);

} // namespace hotspan::symbols
