/** The parser of Rust's v0 mangling, shared by rust-v0.cc (names, paths, generics) and rust-v0-types.cc (types,
 * constants). */
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "demangle.h"

namespace hotspan::symbols::rust_v0 {

inline bool isDigit(char c) {
    return c >= '0' && c <= '9';
}
inline bool isLower(char c) {
    return c >= 'a' && c <= 'z';
}
inline bool isUpper(char c) {
    return c >= 'A' && c <= 'Z';
}
inline int hexDigit(char c) {
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

} // namespace hotspan::symbols::rust_v0
