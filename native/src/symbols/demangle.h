/** Linkers' names to the names that people wrote: C++ (Itanium ABI) and Rust (legacy and v0). Bounded in time and
 * memory. */
#pragma once

#include <string>
#include <string_view>

namespace hotspan::symbols {

enum class Language { unknown, cpp, rust };

struct Demangled {
    /** The symbol itself where it is not mangled, or in a way that is not understood. */
    std::string name;
    Language language = Language::unknown;
};

Demangled demangle(std::string_view symbol);

/** Names longer than this are cut and end in "...": a flame graph cannot show them, and a database would store them. */
constexpr size_t maxDemangledBytes = 2048;

} // namespace hotspan::symbols
