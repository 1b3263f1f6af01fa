/** Building of and searching in compact symbol tables. */
#include "symbol-table.h"

#include <algorithm>
#include <limits>

namespace hotspan::symbols {
namespace {

// Symbols nest (a local label with a size inside a function, a thunk inside an outlined block). Walking further back
// than this for one that covers the address never found any in node, libLLVM and libc.
constexpr int maxNesting = 16;

// What fits into an extent. No function is longer.
constexpr uint64_t maxSize = 0x7fffffff;

size_t leadingUnderscores(std::string_view name) {
    size_t count = name.find_first_not_of('_');
    return count == std::string_view::npos ? name.size() : count;
}

} // namespace

std::optional<SymbolTable::Match> SymbolTable::find(uint64_t address) const {
    if (offsets_.empty() || address < base_ || address - base_ > std::numeric_limits<uint32_t>::max()) {
        return std::nullopt;
    }
    auto offset = static_cast<uint32_t>(address - base_);
    size_t after = static_cast<size_t>(std::upper_bound(offsets_.begin(), offsets_.end(), offset) - offsets_.begin());
    if (after == 0) {
        return std::nullopt;
    }
    for (size_t i = after, steps = 0; i-- > 0 && steps < maxNesting; steps++) {
        const Extent &extent = extents_[i];
        if (offset - offsets_[i] < extent.sizeBytes) {
            return Match{std::string_view(names_.c_str() + extent.name), base_ + offsets_[i], extent.isGuess != 0};
        }
    }
    return std::nullopt;
}

size_t SymbolTable::bytes() const {
    return sizeof *this + offsets_.capacity() * sizeof(uint32_t) + extents_.capacity() * sizeof(Extent) +
           names_.capacity();
}

bool SymbolTableBuilder::add(const Symbol &symbol) {
    if (isNamed_ && isNamed_(symbol.address)) {
        return true;
    }
    std::string_view name = symbol.name.substr(0, std::numeric_limits<uint16_t>::max());
    if (candidates_.size() >= limits_.symbols || names_.size() + name.size() > limits_.nameBytes) {
        isTruncated_ = true;
        return false;
    }
    uint64_t room = symbol.sectionEnd > symbol.address ? symbol.sectionEnd - symbol.address : 1;
    candidates_.push_back({symbol.address, static_cast<uint32_t>(std::min(symbol.sizeBytes, maxSize)),
                           static_cast<uint32_t>(std::min(room, maxSize)), static_cast<uint32_t>(names_.size()),
                           static_cast<uint16_t>(name.size()), symbol.rank});
    names_.append(name);
    return true;
}

bool SymbolTableBuilder::isBetter(const Candidate &a, const Candidate &b) const {
    if ((a.sizeBytes == 0) != (b.sizeBytes == 0)) {
        return a.sizeBytes != 0;
    }
    if (a.rank != b.rank) {
        return a.rank > b.rank;
    }
    // `read` reads better than `__libc_read`; after that any fixed order does, so that names do not depend on the
    // file's order.
    std::string_view x = nameOf(a), y = nameOf(b);
    size_t xs = leadingUnderscores(x), ys = leadingUnderscores(y);
    return xs != ys ? xs < ys : (x.size() != y.size() ? x.size() < y.size() : x < y);
}

SymbolTable SymbolTableBuilder::build() {
    std::sort(candidates_.begin(), candidates_.end(), [this](const Candidate &a, const Candidate &b) {
        return a.address != b.address ? a.address < b.address : isBetter(a, b);
    });
    SymbolTable table;
    table.isTruncated_ = isTruncated_;
    size_t kept = 0;
    size_t nameBytes = 0;
    uint64_t coveredTo = 0;
    uint64_t base = candidates_.empty() ? 0 : candidates_[0].address;
    for (const Candidate &candidate : candidates_) {
        bool isAlias = kept > 0 && candidates_[kept - 1].address == candidate.address;
        // A label inside a function with a size (assembly, jump targets) would hide that function's name.
        bool isInside = candidate.sizeBytes == 0 && candidate.address < coveredTo;
        if (isAlias || isInside) {
            continue;
        }
        if (candidate.address - base > std::numeric_limits<uint32_t>::max()) {
            table.isTruncated_ = true;
            break;
        }
        coveredTo = std::max(coveredTo, candidate.address + candidate.sizeBytes);
        nameBytes += candidate.nameBytes + 1;
        candidates_[kept++] = candidate;
    }
    table.base_ = base;
    table.offsets_.reserve(kept);
    table.extents_.reserve(kept);
    table.names_.reserve(nameBytes);
    for (size_t i = 0; i < kept; i++) {
        const Candidate &candidate = candidates_[i];
        table.offsets_.push_back(static_cast<uint32_t>(candidate.address - base));
        uint64_t next = i + 1 < kept ? candidates_[i + 1].address - candidate.address : maxSize;
        bool isGuess = candidate.sizeBytes == 0;
        uint64_t size = isGuess ? std::min<uint64_t>(next, candidate.room) : candidate.sizeBytes;
        table.extents_.push_back(
            {static_cast<uint32_t>(std::min(size, maxSize)), isGuess, static_cast<uint32_t>(table.names_.size())});
        table.names_.append(nameOf(candidate)).push_back('\0');
    }
    candidates_ = {};
    names_ = {};
    return table;
}

} // namespace hotspan::symbols
