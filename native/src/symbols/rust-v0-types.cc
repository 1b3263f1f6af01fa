/** Types and constants in Rust's v0 mangling; see rust-v0.cc. */
#include "rust-v0.h"

#include "unicode-text.h"

namespace hotspan::symbols::rust_v0 {

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

} // namespace hotspan::symbols::rust_v0
