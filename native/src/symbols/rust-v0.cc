/** Demangling of Rust's v0 mangling (RFC 2603, and the reference's chapter "v0 Symbol Format"): names, paths, generics.
 */
#include "rust-v0.h"

#include "rust-demangle.h"
#include "unicode-text.h"

namespace hotspan::symbols {
namespace rust_v0 {

uint64_t V0::base62() {
    if (eat('_')) {
        return 0;
    }
    uint64_t value = 0;
    while (ok_ && !eat('_')) {
        char c = next();
        uint64_t digit = 0;
        if (isDigit(c)) {
            digit = static_cast<uint64_t>(c - '0');
        } else if (isLower(c)) {
            digit = static_cast<uint64_t>(c - 'a' + 10);
        } else if (isUpper(c)) {
            digit = static_cast<uint64_t>(c - 'A' + 36);
        } else {
            fail();
        }
        if (value > (UINT64_MAX - 128) / 62) {
            fail();
            return 0;
        }
        value = value * 62 + digit;
    }
    return value + 1;
}

uint64_t V0::decimal() {
    if (!isDigit(peek())) {
        fail();
        return 0;
    }
    if (eat('0')) {
        return 0;
    }
    uint64_t value = 0;
    while (isDigit(peek())) {
        value = value * 10 + static_cast<uint64_t>(next() - '0');
        if (value > text_.size()) {
            fail();
            return 0;
        }
    }
    return value;
}

V0::Identifier V0::identifier(bool hasDisambiguator) {
    Identifier result;
    result.disambiguator = hasDisambiguator ? optionalBase62('s') : 0;
    result.isPunycode = eat('u');
    uint64_t length = decimal();
    eat('_');
    if (!ok_ || length > text_.size() - at_) {
        fail();
        return result;
    }
    result.text = text_.substr(at_, length);
    at_ += length;
    return result;
}

void V0::printIdentifier(const Identifier &identifier) {
    std::string decoded;
    if (!identifier.isPunycode) {
        print(identifier.text);
    } else if (decodePunycode(identifier.text, decoded)) {
        print(decoded);
    } else {
        fail();
    }
}

void V0::path(bool isValue) {
    Level level(*this);
    if (!ok_) {
        return;
    }
    switch (next()) {
    case 'C':
        printIdentifier(identifier(true));
        return;
    case 'N':
        nestedPath(isValue);
        return;
    case 'M':
        implPath();
        print("<");
        type();
        print(">");
        return;
    case 'X':
        implPath();
        [[fallthrough]];
    case 'Y':
        print("<");
        type();
        print(" as ");
        path(false);
        print(">");
        return;
    case 'I':
        path(isValue);
        print(isValue ? "::<" : "<");
        genericArguments();
        print(">");
        return;
    case 'B':
        backReference([&] { path(isValue); });
        return;
    default:
        fail();
    }
}

void V0::nestedPath(bool isValue) {
    char space = next();
    if (!isLower(space) && !isUpper(space)) {
        fail();
        return;
    }
    path(isValue);
    Identifier name = identifier(true);
    if (isLower(space)) {
        // Lower case: a name in one of the language's own namespaces. Those of the compiler may be empty.
        if (!name.text.empty()) {
            print("::");
            printIdentifier(name);
        }
        return;
    }
    print("::{");
    print(space == 'C' ? std::string_view("closure")
                       : (space == 'S' ? std::string_view("shim") : std::string_view(&space, 1)));
    if (!name.text.empty()) {
        print(":");
        printIdentifier(name);
    }
    print("#" + std::to_string(name.disambiguator) + "}");
}

void V0::implPath() {
    // Where the impl stands says nothing that its type does not.
    bool wasSilent = isSilent_;
    isSilent_ = true;
    optionalBase62('s');
    path(false);
    isSilent_ = wasSilent;
}

void V0::genericArguments() {
    list([&] { genericArgument(); });
}

void V0::genericArgument() {
    if (eat('L')) {
        lifetime(base62());
    } else if (eat('K')) {
        constant();
    } else {
        type();
    }
}

void V0::lifetime(uint64_t index) {
    if (index == 0) {
        print("'_");
    } else if (index <= boundLifetimes_) {
        uint64_t depth = boundLifetimes_ - index;
        print(depth < 26 ? std::string("'") + static_cast<char>('a' + depth) : "'_" + std::to_string(depth));
    } else {
        fail();
    }
}

} // namespace rust_v0

bool demangleRustV0(std::string_view symbol, std::string &name) {
    symbol = symbol.substr(0, symbol.find(".llvm."));
    symbol.remove_prefix(2);
    // A decimal here would be the number of a later version of the mangling. There is none yet.
    if (symbol.empty() || !rust_v0::isUpper(symbol[0])) {
        return false;
    }
    return rust_v0::V0(symbol).run(name);
}

} // namespace hotspan::symbols
