/**
 * Function symbols of one file, sorted and compact: 12 bytes and a name each. Built once, then only read, so any number
 * of threads may share one.
 */
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotspan::symbols {

class SymbolTable {
  public:
    struct Match {
        /** As in the file, mangled. Points into the table. */
        std::string_view name;
        uint64_t address = 0;
        /** The symbol has no size: it is the nearest before the address in its section, nothing more. */
        bool isGuess = false;
    };

    /** The symbol whose range covers the address; nothing between functions, whose names would only be guessed. */
    std::optional<Match> find(uint64_t address) const;

    size_t size() const { return offsets_.size(); }
    size_t bytes() const;
    /** Some symbols were left out, because the file has more than the table may hold. */
    bool isTruncated() const { return isTruncated_; }

  private:
    friend class SymbolTableBuilder;
    struct Extent {
        uint32_t sizeBytes : 31;
        /** The symbol has no size: it is taken to reach to the next one or the end of its section. */
        uint32_t isGuess : 1;
        uint32_t name;
    };

    uint64_t base_ = 0;
    bool isTruncated_ = false;
    // Apart from the extents, so that a search touches 4 bytes a step.
    std::vector<uint32_t> offsets_;
    std::vector<Extent> extents_;
    std::string names_;
};

/** How good a name is where several symbols stand at one address: the highest wins, then the name that reads best. */
enum class SymbolRank : uint8_t { label, localFunction, weakFunction, globalFunction };

class SymbolTableBuilder {
  public:
    /** Bounds of one table. Beyond them symbols are left out and the table says so. */
    struct Limits {
        size_t symbols = 2'000'000;
        size_t nameBytes = 64U << 20;
    };
    /** Symbols at addresses for which `isNamed` is true are left out: another table has them. */
    explicit SymbolTableBuilder(const Limits &limits, std::function<bool(uint64_t address)> isNamed = nullptr)
        : limits_(limits), isNamed_(std::move(isNamed)) {}

    struct Symbol {
        uint64_t address = 0;
        uint64_t sizeBytes = 0;
        /** End of the section that it stands in: how far a symbol without a size may reach. */
        uint64_t sectionEnd = 0;
        std::string_view name;
        SymbolRank rank = SymbolRank::label;
    };
    /** The name is copied. False where the table is full. */
    bool add(const Symbol &symbol);
    size_t size() const { return candidates_.size(); }
    SymbolTable build();

  private:
    struct Candidate {
        uint64_t address;
        uint32_t sizeBytes;
        uint32_t room;
        uint32_t name;
        uint16_t nameBytes;
        SymbolRank rank;
    };
    std::string_view nameOf(const Candidate &candidate) const {
        return {names_.data() + candidate.name, candidate.nameBytes};
    }
    bool isBetter(const Candidate &a, const Candidate &b) const;

    Limits limits_;
    std::function<bool(uint64_t address)> isNamed_;
    bool isTruncated_ = false;
    std::vector<Candidate> candidates_;
    std::string names_;
};

} // namespace hotspan::symbols
