/** Demangling of Rust's v0 mangling (RFC 2603, and the reference's chapter "v0 Symbol Format"). */
#include <cstdint>

#include "demangle.h"
#include "rust-demangle.h"
#include "unicode-text.h"

namespace hotspan::symbols {
namespace {

bool isDigit(char c) {
    return c >= '0' && c <= '9';
}
bool isLower(char c) {
    return c >= 'a' && c <= 'z';
}
bool isUpper(char c) {
    return c >= 'A' && c <= 'Z';
}
int hexDigit(char c) {
    return isDigit(c) ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

/** One pass over a v0 name: parses and prints at the same time; back references jump back in the text. */
class V0 {
  public:
    explicit V0(std::string_view text) : text_(text) {}

    bool run(std::string &name) {
        path(true);
        // The crate that instantiated a generic function follows; it is checked, not printed.
        if (ok_ && at_ < text_.size() && isUpper(text_[at_])) {
            isSilent_ = true;
            path(false);
        }
        if (!ok_ || (at_ < text_.size() && text_[at_] != '.' && text_[at_] != '$')) {
            return false;
        }
        name = std::move(out_);
        return !name.empty();
    }

  private:
    // rustc's own limit is 500. Every level takes under 300 bytes of stack here.
    static constexpr int maxDepth = 200;
    // A back reference costs a few bytes and may repeat all before it: bounds the time, as maxDemangledBytes bounds the
    // text.
    static constexpr int maxSteps = 20000;

    struct Identifier {
        std::string_view text;
        bool isPunycode = false;
        uint64_t disambiguator = 0;
    };

    /** Counts levels and steps; false ends the walk. */
    struct Level {
        explicit Level(V0 &v0) : v0_(v0) {
            if (++v0_.depth_ > maxDepth || ++v0_.steps_ > maxSteps) {
                v0_.ok_ = false;
            }
        }
        ~Level() { v0_.depth_--; }
        V0 &v0_;
    };

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool eat(char c) {
        if (!ok_ || peek() != c) {
            return false;
        }
        at_++;
        return true;
    }
    char next() {
        if (at_ >= text_.size()) {
            ok_ = false;
            return '\0';
        }
        return text_[at_++];
    }
    void print(std::string_view text) {
        if (!isSilent_ && out_.size() < maxDemangledBytes + 1) {
            out_ += text;
        }
    }
    void fail() { ok_ = false; }

    uint64_t base62();
    uint64_t optionalBase62(char tag) { return eat(tag) ? base62() + 1 : 0; }
    uint64_t decimal();
    Identifier identifier(bool hasDisambiguator);
    void printIdentifier(const Identifier &identifier);
    void path(bool isValue);
    void nestedPath(bool isValue);
    void implPath();
    void genericArguments();
    void genericArgument();
    void lifetime(uint64_t index);
    void type();
    void compoundType(char tag);
    void functionType();
    void dynType();
    uint64_t binder();
    void constant();
    void constantInteger(char tag);
    void constantString();
    std::string_view hex();
    template <typename Visit> void backReference(Visit visit);
    template <typename Visit> size_t list(Visit visit);

    std::string_view text_;
    size_t at_ = 0;
    int depth_ = 0;
    int steps_ = 0;
    uint64_t boundLifetimes_ = 0;
    bool ok_ = true;
    bool isSilent_ = false;
    std::string out_;
};

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

template <typename Visit> void V0::backReference(Visit visit) {
    size_t tagAt = at_ - 1;
    uint64_t target = base62();
    // Only backwards, or a name could refer to itself for ever.
    if (!ok_ || target >= tagAt) {
        fail();
        return;
    }
    // What is not printed need not be walked again.
    if (isSilent_ || out_.size() > maxDemangledBytes) {
        return;
    }
    size_t resume = at_;
    at_ = target;
    visit();
    at_ = resume;
}

template <typename Visit> size_t V0::list(Visit visit) {
    size_t count = 0;
    while (ok_ && !eat('E')) {
        if (count++ > 0) {
            print(", ");
        }
        visit();
    }
    return count;
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

std::string_view basicType(char tag) {
    // a to z; empty where the letter is none.
    static constexpr std::string_view names[] = {"i8",    "bool", "char", "f64", "str",  "f32",  "",    "u8", "isize",
                                                 "usize", "",     "i32",  "u32", "i128", "u128", "_",   "",   "",
                                                 "i16",   "u16",  "()",   "...", "",     "i64",  "u64", "!"};
    return isLower(tag) ? names[tag - 'a'] : std::string_view();
}

void V0::type() {
    Level level(*this);
    if (!ok_) {
        return;
    }
    char tag = next();
    if (std::string_view basic = basicType(tag); !basic.empty()) {
        print(basic);
    } else {
        compoundType(tag);
    }
}

void V0::compoundType(char tag) {
    switch (tag) {
    case 'R':
    case 'Q':
        print("&");
        if (eat('L')) {
            if (uint64_t index = base62(); index != 0) {
                lifetime(index);
                print(" ");
            }
        }
        print(tag == 'Q' ? "mut " : "");
        type();
        return;
    case 'P':
    case 'O':
        print(tag == 'P' ? "*const " : "*mut ");
        type();
        return;
    case 'A':
    case 'S':
        print("[");
        type();
        if (tag == 'A') {
            print("; ");
            constant();
        }
        print("]");
        return;
    case 'T': {
        print("(");
        size_t count = list([&] { type(); });
        print(count == 1 ? ",)" : ")");
        return;
    }
    case 'F':
        functionType();
        return;
    case 'D':
        dynType();
        return;
    case 'B':
        backReference([&] { type(); });
        return;
    default:
        at_--;
        path(false);
    }
}

uint64_t V0::binder() {
    uint64_t count = optionalBase62('G');
    if (count > 64) {
        fail();
        return 0;
    }
    if (count > 0) {
        print("for<");
        for (uint64_t i = 0; i < count; i++) {
            print(i > 0 ? ", " : "");
            boundLifetimes_++;
            lifetime(1);
        }
        print("> ");
    }
    return count;
}

void V0::functionType() {
    uint64_t bound = binder();
    if (eat('U')) {
        print("unsafe ");
    }
    if (eat('K')) {
        print("extern \"");
        if (eat('C')) {
            print("C");
        } else {
            std::string abi(identifier(false).text);
            for (char &c : abi) {
                c = c == '_' ? '-' : c;
            }
            print(abi);
        }
        print("\" ");
    }
    print("fn(");
    list([&] { type(); });
    print(")");
    // A function that returns nothing is written without "-> ()".
    if (!eat('u')) {
        print(" -> ");
        type();
    }
    boundLifetimes_ -= bound;
}

void V0::dynType() {
    print("dyn ");
    uint64_t bound = binder();
    size_t count = 0;
    while (ok_ && !eat('E')) {
        print(count++ > 0 ? " + " : "");
        // The associated types join the trait's own arguments between one pair of angle brackets.
        size_t before = out_.size();
        path(false);
        bool isOpen = !isSilent_ && out_.size() > before && out_.back() == '>' && peek() == 'p';
        if (isOpen) {
            out_.pop_back();
        }
        for (size_t i = 0; ok_ && eat('p'); i++) {
            print(i > 0 || isOpen ? ", " : "<");
            printIdentifier(identifier(false));
            print(" = ");
            type();
            if (peek() != 'p') {
                print(">");
            }
        }
    }
    boundLifetimes_ -= bound;
    if (!eat('L')) {
        fail();
        return;
    }
    if (uint64_t index = base62(); index != 0) {
        print(" + ");
        lifetime(index);
    }
}

std::string_view V0::hex() {
    size_t begin = at_;
    while (hexDigit(peek()) >= 0) {
        at_++;
    }
    std::string_view digits = text_.substr(begin, at_ - begin);
    if (!eat('_')) {
        fail();
    }
    return digits;
}

void V0::constantInteger(char tag) {
    bool isSigned = std::string_view("aslxni").find(tag) != std::string_view::npos;
    if (isSigned && eat('n')) {
        print("-");
    }
    std::string_view digits = hex();
    uint64_t value = 0;
    if (digits.size() > 16) {
        print("0x");
        print(digits);
        return;
    }
    for (char c : digits) {
        value = value * 16 + static_cast<uint64_t>(hexDigit(c));
    }
    if (tag == 'b') {
        print(value != 0 ? "true" : "false");
    } else if (tag == 'c') {
        std::string text = "'";
        if (isScalarValue(value) && value >= 0x20) {
            appendUtf8(text, static_cast<uint32_t>(value));
        } else {
            text += "\\u{" + std::string(digits) + "}";
        }
        print(text + "'");
    } else {
        print(std::to_string(value));
    }
}

void V0::constantString() {
    std::string_view digits = hex();
    std::string text = "\"";
    for (size_t i = 0; i + 1 < digits.size(); i += 2) {
        auto c = static_cast<unsigned char>(hexDigit(digits[i]) * 16 + hexDigit(digits[i + 1]));
        text += c < 0x20 || c == 0x7f ? '.' : static_cast<char>(c);
    }
    print(text + "\"");
}

void V0::constant() {
    Level level(*this);
    if (!ok_) {
        return;
    }
    char tag = next();
    if (tag == 'B') {
        backReference([&] { constant(); });
    } else if (tag == 'p') {
        print("_");
    } else if (std::string_view("asltxynmohijbc").find(tag) != std::string_view::npos) {
        constantInteger(tag);
    } else if (tag == 'e') {
        constantString();
    } else if (tag == 'R' || tag == 'Q') {
        // A literal is a reference already.
        bool isLiteral = tag == 'R' && eat('e');
        if (isLiteral) {
            constantString();
            return;
        }
        print(tag == 'R' ? "&" : "&mut ");
        constant();
    } else if (tag == 'A' || tag == 'T') {
        print(tag == 'A' ? "[" : "(");
        size_t count = list([&] { constant(); });
        print(tag == 'A' ? "]" : (count == 1 ? ",)" : ")"));
    } else {
        fail();
    }
}

} // namespace

bool demangleRustV0(std::string_view symbol, std::string &name) {
    symbol = symbol.substr(0, symbol.find(".llvm."));
    symbol.remove_prefix(2);
    // A decimal here would be the number of a later version of the mangling. There is none yet.
    if (symbol.empty() || !isUpper(symbol[0])) {
        return false;
    }
    return V0(symbol).run(name);
}

} // namespace hotspan::symbols
