/** Rust's two manglings. Names come out as `rustc` prints them in backtraces, without hashes. */
#pragma once

#include <string>
#include <string_view>

namespace hotspan::symbols {

/** "_ZN4core3fmt5write17h0123456789abcdefE". False where the symbol is not of that form: then it is C++. */
bool demangleRustLegacy(std::string_view symbol, std::string &name);

/** "_RNvCs1234_7mycrate3foo" (RFC 2603). False where the symbol is malformed. */
bool demangleRustV0(std::string_view symbol, std::string &name);

} // namespace hotspan::symbols
