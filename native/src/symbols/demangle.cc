/** Choosing the demangler, and guarding the C++ one against names made to blow up. */
#include "demangle.h"

#include <cmath>
#include <cstdlib>
#include <cxxabi.h>

#include "rust-demangle.h"

namespace hotspan::symbols {
namespace {

bool isDigit(char c) {
    return c >= '0' && c <= '9';
}

/**
 * Each reference in a C++ name (S_, S1_, T_, ...) may repeat what stands before it, so that n of them can make a name
 * of up to 3^(n/3) times the length: 230 bytes gave 142 MB of text with libstdc++. Names whose worst case is above 4 MB
 * are left to qualifiedName(); of node's 86,000 C++ symbols that is every two hundredth.
 */
bool mayExplode(std::string_view symbol) {
    int references = 0;
    for (size_t i = 0; i + 1 < symbol.size(); i++) {
        if (symbol[i] != 'S' && symbol[i] != 'T') {
            continue;
        }
        size_t end = i + 1;
        while (end < symbol.size() && (isDigit(symbol[end]) || (symbol[end] >= 'A' && symbol[end] <= 'Z'))) {
            end++;
        }
        references += end < symbol.size() && symbol[end] == '_';
    }
    return std::pow(3.0, references / 3.0) * static_cast<double>(symbol.size()) > 4e6;
}

/** "_ZN2v88internal3FooILi1EE3barEv" -> "v8::internal::Foo<...>::bar": only the plain parts of a nested name. */
std::string qualifiedName(std::string_view symbol) {
    std::string name;
    size_t at = 2;
    while (at < symbol.size() && !isDigit(symbol[at])) {
        if (symbol[at] != 'N' && symbol[at] != 'K' && symbol[at] != 'L') {
            return {};
        }
        at++;
    }
    while (at < symbol.size() && isDigit(symbol[at])) {
        size_t length = 0;
        while (at < symbol.size() && isDigit(symbol[at]) && length < symbol.size()) {
            length = length * 10 + static_cast<size_t>(symbol[at++] - '0');
        }
        if (length == 0 || length > symbol.size() - at) {
            return {};
        }
        name += (name.empty() ? "" : "::");
        name += symbol.substr(at, length);
        at += length;
    }
    return name.empty() ? name : name + (at < symbol.size() && symbol[at] == 'I' ? "<...>" : "(...)");
}

std::string demangleCpp(std::string_view symbol) {
    if (mayExplode(symbol)) {
        return qualifiedName(symbol);
    }
    int status = 0;
    char *text = abi::__cxa_demangle(std::string(symbol).c_str(), nullptr, nullptr, &status);
    std::string name = status == 0 && text != nullptr ? text : "";
    free(text);
    return name;
}

std::string cut(std::string name) {
    if (name.size() > maxDemangledBytes) {
        name.resize(maxDemangledBytes - 3);
        // Not within a character of UTF-8.
        while (!name.empty() && (static_cast<unsigned char>(name.back()) & 0xc0) == 0x80) {
            name.pop_back();
        }
        if (!name.empty() && (static_cast<unsigned char>(name.back()) & 0x80) != 0) {
            name.pop_back();
        }
        name += "...";
    }
    return name;
}

} // namespace

Demangled demangle(std::string_view symbol) {
    std::string name;
    if (symbol.ends_with("@plt")) {
        Demangled target = demangle(symbol.substr(0, symbol.size() - 4));
        target.name += "@plt";
        return target;
    }
    if (symbol.starts_with("_R") && demangleRustV0(symbol, name)) {
        return {cut(std::move(name)), Language::rust};
    }
    if (symbol.starts_with("_ZN") && demangleRustLegacy(symbol, name)) {
        return {cut(std::move(name)), Language::rust};
    }
    if (symbol.starts_with("_Z")) {
        name = demangleCpp(symbol);
        return {cut(name.empty() ? std::string(symbol) : std::move(name)), Language::cpp};
    }
    return {cut(std::string(symbol)), Language::unknown};
}

} // namespace hotspan::symbols
