/** Finding of the code that is followed, and of where its functions begin. */
#include "followed-code.h"

#include <algorithm>
#include <cstring>
#include <elf.h>

namespace hotspan::unwind {
namespace {

using symbols::ByteSource;
using symbols::ElfFile;
using symbols::Section;
using symbols::Segment;

// A shorter gap is a function that a symbol tells of.
constexpr uint64_t minGapBytes = 512;
// Shorter ones are padding.
constexpr uint64_t minFunctionBytes = 16;
// In larger programs only what has symbols is followed.
constexpr uint64_t maxSearchedBytes = 8U << 20;
// Most symbols lie in pages without a gap.
constexpr int gapPageShift = 12;
constexpr size_t entriesPerRead = 8192;
constexpr size_t callBytes = 5;

/** Takes what it looks at off `left`. */
template <typename Entry, typename Visit>
void forEachEntry(const ByteSource &source, const Section &section, uint64_t &left, const Visit &visit) {
    uint64_t count = std::min<uint64_t>(section.sizeBytes / sizeof(Entry), left);
    left -= count;
    std::vector<Entry> entries(static_cast<size_t>(std::min<uint64_t>(count, entriesPerRead)));
    for (uint64_t at = 0; at < count; at += entries.size()) {
        size_t wanted = static_cast<size_t>(std::min<uint64_t>(entries.size(), count - at));
        uint64_t offset = section.offset + at * sizeof(Entry);
        size_t got = offset < source.sizeBytes()
                         ? source.readSome(offset, entries.data(), wanted * sizeof(Entry)) / sizeof(Entry)
                         : 0;
        std::for_each(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(got), visit);
        if (got < wanted) {
            return;
        }
    }
}

} // namespace

FollowedCode::FollowedCode(const ByteSource &source, const ElfFile &elf)
    : source_(source), elf_(elf), follower_([this](uint64_t address, void *to, size_t sizeBytes) {
          std::optional<uint64_t> offset = elf_.fileOffsetOf(address);
          return offset ? source_.readSome(*offset, to, sizeBytes) : size_t{0};
      }) {}

std::vector<uint8_t> FollowedCode::read(uint64_t address, uint64_t sizeBytes) const {
    std::vector<uint8_t> bytes;
    if (std::optional<uint64_t> offset = elf_.fileOffsetOf(address)) {
        bytes.resize(static_cast<size_t>(sizeBytes));
        bytes.resize(source_.readSome(*offset, bytes.data(), bytes.size()));
    }
    return bytes;
}

std::vector<FollowedCode::Gap> FollowedCode::gapsBetween(const std::vector<CodeRange> &known) const {
    std::vector<Gap> gaps;
    uint64_t lastEnd = 0;
    for (const Segment &segment : elf_.segments()) {
        uint64_t end = std::min<uint64_t>(segment.address + segment.fileSizeBytes, UINT32_MAX);
        // Those that overlap are of no file that anyone runs.
        if (!segment.isExecutable || segment.address >= end || segment.address < lastEnd) {
            continue;
        }
        lastEnd = end;
        uint64_t covered = segment.address;
        auto next = std::lower_bound(known.begin(), known.end(), segment.address,
                                     [](const CodeRange &range, uint64_t address) { return range.end() <= address; });
        for (; covered < end; ++next) {
            uint64_t gapEnd = next == known.end() ? end : std::min<uint64_t>(next->begin, end);
            if (gapEnd > covered && gapEnd - covered >= minFunctionBytes) {
                gaps.push_back({covered, gapEnd});
            }
            if (next == known.end()) {
                break;
            }
            covered = std::max<uint64_t>(covered, next->end());
        }
    }
    return gaps;
}

void FollowedCode::noteGapPages() {
    gapPages_.assign(gaps_.empty() ? 0 : (gaps_.back().end >> gapPageShift) + 1, false);
    for (const Gap &gap : gaps_) {
        for (uint64_t page = gap.begin >> gapPageShift; page <= gap.end >> gapPageShift; page++) {
            gapPages_[page] = true;
        }
    }
}

bool FollowedCode::isInGap(uint64_t address) const {
    uint64_t page = address >> gapPageShift;
    if (page >= gapPages_.size() || !gapPages_[page]) {
        return false;
    }
    auto next = std::upper_bound(gaps_.begin(), gaps_.end(), address,
                                 [](uint64_t wanted, const Gap &gap) { return wanted < gap.begin; });
    return next != gaps_.begin() && address < std::prev(next)->end;
}

void FollowedCode::addSymbols(const std::vector<Section> &sections) {
    for (const Section &section : sections) {
        if (section.type == SHT_SYMTAB || section.type == SHT_DYNSYM) {
            forEachEntry<Elf64_Sym>(source_, section, entriesLeft_, [this](const Elf64_Sym &symbol) {
                uint8_t type = ELF64_ST_TYPE(symbol.st_info);
                bool isFunction = (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF;
                if (isFunction && isInGap(symbol.st_value)) {
                    functions_.push_back(symbol.st_value);
                }
            });
        }
    }
}

void FollowedCode::addRelocations(const Section &section) {
    forEachEntry<Elf64_Rela>(source_, section, entriesLeft_, [this](const Elf64_Rela &relocation) {
        uint64_t type = ELF64_R_TYPE(relocation.r_info);
        auto address = static_cast<uint64_t>(relocation.r_addend);
        if (type == R_X86_64_RELATIVE && isInGap(address)) {
            candidates_.push_back(address);
        } else if (type == R_X86_64_IRELATIVE && isInGap(address)) {
            functions_.push_back(address);
        }
    });
}

void FollowedCode::addPointers(const Section &section) {
    forEachEntry<uint64_t>(source_, section, entriesLeft_, [this](uint64_t address) {
        if (address != 0 && isInGap(address)) {
            candidates_.push_back(address);
        }
    });
}

void FollowedCode::addSections(const std::vector<Section> &sections, bool isSmall) {
    for (const Section &section : sections) {
        bool isCode = (section.flags & SHF_EXECINSTR) != 0;
        if (isCode && (section.name == ".init" || section.name == ".fini")) {
            functions_.push_back(section.address);
        } else if (!isSmall) {
            continue;
        } else if (section.type == SHT_RELA && (section.flags & SHF_ALLOC) != 0) {
            addRelocations(section);
        } else if (section.type == SHT_INIT_ARRAY || section.type == SHT_FINI_ARRAY || section.name == ".data" ||
                   section.name.starts_with(".data.rel.ro")) {
            addPointers(section);
        }
    }
}

/** Calls in one function that call frame information describes. */
void FollowedCode::addCallsOf(const CodeRange &range, const uint8_t *code) {
    const uint8_t *end = code + range.sizeBytes;
    // Instructions are told apart from where the function begins, up to here.
    const uint8_t *decoded = code;
    for (const uint8_t *at = code; (at = static_cast<const uint8_t *>(memchr(at, 0xe8, static_cast<size_t>(end - at))));
         at++) {
        if (end - at < static_cast<ptrdiff_t>(callBytes)) {
            return;
        }
        int32_t offset = 0;
        memcpy(&offset, at + 1, sizeof offset);
        uint64_t next = range.begin + static_cast<uint64_t>(at - code) + callBytes;
        uint64_t target = next + static_cast<uint64_t>(int64_t{offset});
        if (!isInGap(target) || follower_.isVisited(target)) {
            continue;
        }
        while (decoded < at) {
            size_t sizeBytes = decodeInstruction(decoded, static_cast<size_t>(end - decoded)).sizeBytes;
            if (sizeBytes == 0) {
                return;
            }
            decoded += sizeBytes;
        }
        if (decoded == at) {
            follower_.addFunction(target);
        }
    }
}

void FollowedCode::addCalls(const std::vector<CodeRange> &known) {
    for (const Segment &segment : elf_.segments()) {
        if (!segment.isExecutable || segment.fileSizeBytes > maxSearchedBytes) {
            continue;
        }
        std::vector<uint8_t> code = read(segment.address, segment.fileSizeBytes);
        auto range = std::lower_bound(known.begin(), known.end(), segment.address,
                                      [](const CodeRange &one, uint64_t address) { return one.begin < address; });
        for (; range != known.end() && range->begin - segment.address < code.size(); ++range) {
            uint64_t offset = range->begin - segment.address;
            if (range->sizeBytes <= code.size() - offset) {
                addCallsOf(*range, &code[static_cast<size_t>(offset)]);
            }
        }
    }
}

void FollowedCode::follow(const std::vector<Section> &sections, const std::vector<CodeRange> &known) {
    for (const Segment &segment : elf_.segments()) {
        codeBytes_ += segment.isExecutable ? segment.fileSizeBytes : 0;
    }
    follower_.setFixed(!elf_.segments().empty() && elf_.segments()[0].address > 0);
    gaps_ = gapsBetween(known);
    std::erase_if(gaps_, [](const Gap &gap) { return gap.end - gap.begin > StackFollower::defaultMaxCodeBytes; });
    noteGapPages();
    bool isSmall = codeBytes_ <= maxSearchedBytes;
    functions_.push_back(elf_.entryAddress());
    addSymbols(sections);
    addSections(sections, isSmall);
    std::sort(functions_.begin(), functions_.end());
    bool isLong = false;
    std::erase_if(gaps_, [&](const Gap &gap) {
        auto first = std::lower_bound(functions_.begin(), functions_.end(), gap.begin);
        bool isLongGap = gap.end - gap.begin >= minGapBytes;
        isLong = isLong || isLongGap;
        return !(isLongGap && isSmall) && (first == functions_.end() || *first >= gap.end);
    });
    for (const Gap &gap : gaps_) {
        follower_.addCode(static_cast<uint32_t>(gap.begin), read(gap.begin, gap.end - gap.begin));
    }
    for (uint64_t address : functions_) {
        follower_.addFunction(address);
    }
    follower_.follow();
    if (isLong && isSmall) {
        addCalls(known);
    }
    for (uint64_t address : candidates_) {
        follower_.addCandidate(address);
    }
    follower_.follow();
    follower_.judge();
}

bool FollowedCode::isMost() const {
    return follower_.visitedBytes() > codeBytes_ / 2;
}

void FollowedCode::collect(const std::vector<CodeRange> &known, std::vector<CodeRange> &ranges) const {
    for (const Gap &gap : gapsBetween(known)) {
        if (auto [first, last] = follower_.extentIn(gap.begin, gap.end); first < last) {
            ranges.push_back({static_cast<uint32_t>(first), static_cast<uint32_t>(last - first),
                              rangePlace(RangeOwner::shape, followedShape)});
        }
    }
}

} // namespace hotspan::unwind
