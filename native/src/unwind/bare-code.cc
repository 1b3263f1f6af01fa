/** Telling code by its shape. */
#include "bare-code.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <iterator>

#include "../../../bpf/lib/unwind-table.h"
#include "instruction.h"

namespace hotspan::unwind {
namespace {

// glibc's dynamic linker has 61 bytes from _start to the jump into the program.
constexpr size_t maxEntryBytes = 128;
// Files whose functions lie apart have thousands of gaps, none of them as long as this.
constexpr uint64_t minGapBytes = 32;
// Of all gaps of a file; musl's libc, which is one gap, has 400 KB.
constexpr uint64_t maxSearchedBytes = 4U << 20;
constexpr size_t stubBytes = 16;

/** In a thread's first frame: call *%r9; mov %eax, %edi; xor %eax, %eax; mov $SYS_exit, %al; syscall; hlt. */
constexpr uint8_t threadStart[] = {0x41, 0xff, 0xd1, 0x89, 0xc7, 0x31, 0xc0, 0xb0, 0x3c, 0x0f, 0x05, 0xf4};

bool isPadding(const uint8_t *code, size_t sizeBytes) {
    return sizeBytes >= 2 && (code[0] == 0x90 || code[0] == 0xcc || (code[0] == 0x0f && code[1] == 0x1f) ||
                              (code[0] == 0x66 && (code[1] == 0x90 || code[1] == 0x0f || code[1] == 0x2e)));
}

/** Nothing comes behind it. */
bool isLast(const Instruction &instruction) {
    uint16_t op = instruction.opcode;
    return op == 0xc3 || op == 0xe9 || op == 0xeb || op == 0xf4 || op == 0x0f0b ||
           (op == 0xff && (instruction.modrm >> 3 & 7) == 4);
}

/** jmp *disp(%rip), before it perhaps endbr64 and a bnd prefix. */
bool isIndirectJump(const uint8_t *code) {
    constexpr uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
    code += memcmp(code, endbr, sizeof endbr) == 0 ? sizeof endbr : 0;
    code += code[0] == 0xf2 ? 1 : 0;
    return code[0] == 0xff && code[1] == 0x25;
}

/** jmp *disp(%rip); push $number; jmp to the first. */
bool isLazyStub(const uint8_t *code) {
    return code[0] == 0xff && code[1] == 0x25 && code[6] == 0x68 && code[11] == 0xe9;
}

/** push disp(%rip); jmp *disp(%rip): what the lazy stubs end in. */
bool isCommonStub(const uint8_t *code) {
    return code[0] == 0xff && code[1] == 0x35 && code[6] == 0xff && code[7] == 0x25;
}

uint32_t belowReturnAddress(int64_t words) {
    return UNWIND_CFA_SP | static_cast<uint32_t>(words) << 14;
}

} // namespace

std::vector<uint8_t> BareCode::read(uint64_t address, size_t sizeBytes) const {
    std::vector<uint8_t> bytes;
    if (std::optional<uint64_t> offset = elf_.fileOffsetOf(address)) {
        bytes.resize(sizeBytes);
        bytes.resize(source_.readSome(*offset, bytes.data(), sizeBytes));
    }
    return bytes;
}

void BareCode::addEntry(std::vector<CodeRange> &ranges) {
    uint64_t entry = elf_.entryAddress();
    std::vector<uint8_t> code = read(entry, maxEntryBytes);
    size_t at = 0;
    size_t called = 0;
    bool isCall = false;
    while (at < code.size() && !(isCall && isPadding(&code[at], code.size() - at)) && (called == 0 || at != called)) {
        Instruction instruction = decodeInstruction(&code[at], code.size() - at);
        if (instruction.sizeBytes == 0) {
            // It is no known code from the start, or what was taken for code is none.
            return;
        }
        at += instruction.sizeBytes;
        isCall = instruction.opcode == 0xe8;
        if (isCall && instruction.immediate >= 0) {
            called = at + static_cast<size_t>(instruction.immediate);
        }
        if (isLast(instruction)) {
            break;
        }
    }
    if (at > 0 && at < maxEntryBytes && entry <= UINT32_MAX) {
        ranges.push_back(
            {static_cast<uint32_t>(entry), static_cast<uint32_t>(at), rangePlace(RangeOwner::shape, rootShape)});
    }
}

void BareCode::searchGap(uint64_t begin, uint64_t end, std::vector<CodeRange> &ranges) {
    std::vector<uint8_t> code = read(begin, end - begin);
    auto found = std::search(code.begin(), code.end(), std::begin(threadStart), std::end(threadStart));
    if (found != code.end()) {
        ranges.push_back({static_cast<uint32_t>(begin + static_cast<uint64_t>(found - code.begin())),
                          sizeof threadStart, rangePlace(RangeOwner::shape, rootShape)});
    }
}

void BareCode::addThreadStarts(const std::vector<CodeRange> &known, std::vector<CodeRange> &ranges) {
    uint64_t left = maxSearchedBytes;
    for (const symbols::Segment &segment : elf_.segments()) {
        uint64_t segmentEnd = std::min<uint64_t>(segment.address + segment.fileSizeBytes, UINT32_MAX);
        if (!segment.isExecutable || segment.address >= segmentEnd) {
            continue;
        }
        uint64_t covered = segment.address;
        auto next = std::lower_bound(known.begin(), known.end(), segment.address,
                                     [](const CodeRange &range, uint64_t address) { return range.begin < address; });
        while (covered < segmentEnd && left > 0) {
            uint64_t gapEnd = next == known.end() ? segmentEnd : std::min<uint64_t>(next->begin, segmentEnd);
            if (gapEnd > covered && gapEnd - covered >= minGapBytes) {
                uint64_t sizeBytes = std::min(gapEnd - covered, left);
                searchGap(covered, covered + sizeBytes, ranges);
                left -= sizeBytes;
            }
            if (next == known.end() || next->begin >= segmentEnd) {
                break;
            }
            covered = std::max(covered, next->end());
            ++next;
        }
    }
}

void BareCode::addStubs(const symbols::Section &section, std::vector<CodeRange> &ranges) {
    constexpr size_t firstBytes = 3 * stubBytes;
    std::vector<uint8_t> code = read(section.address, std::min<uint64_t>(section.sizeBytes, firstBytes));
    if (code.size() < 8 || section.address > UINT32_MAX || section.sizeBytes > UINT32_MAX - section.address) {
        return;
    }
    code.resize(firstBytes);
    bool hasCommon = isCommonStub(code.data());
    bool isLazy = hasCommon && section.address % stubBytes == 0 && isLazyStub(code.data() + stubBytes);
    if (isLazy || (!hasCommon && isIndirectJump(code.data()))) {
        ranges.push_back({static_cast<uint32_t>(section.address), static_cast<uint32_t>(section.sizeBytes),
                          rangePlace(RangeOwner::shape, isLazy ? lazyStubsShape : stubsShape)});
    }
}

void BareCode::collect(const CodeSegments &code, const std::vector<symbols::Section> &sections,
                       const std::vector<CodeRange> &known, std::vector<CodeRange> &ranges) {
    std::vector<CodeRange> found;
    addEntry(found);
    addThreadStarts(known, found);
    for (const symbols::Section &section : sections) {
        bool isPlt = section.name.starts_with(".plt") || section.name == ".iplt";
        if (isPlt && section.type == SHT_PROGBITS && (section.flags & SHF_EXECINSTR) != 0) {
            addStubs(section, found);
        }
    }
    for (CodeRange &range : found) {
        range.sizeBytes = std::min(range.sizeBytes, code.sizeFrom(range.begin));
        if (range.sizeBytes > 0) {
            ranges.push_back(range);
        }
    }
}

bool BareCode::rowsOf(const CodeRange &range, uint64_t end, RowSink &sink) const {
    switch (range.offset()) {
    case rootShape:
        sink.row(range.begin, UNWIND_CFA_END);
        return true;
    case stubsShape:
        sink.row(range.begin, belowReturnAddress(1));
        return true;
    case lazyStubsShape:
        // The one that all end in, with what they pushed, pushes as well.
        sink.row(range.begin, belowReturnAddress(2));
        sink.row(range.begin + 6, belowReturnAddress(3));
        if (range.begin + stubBytes < end) {
            sink.row(range.begin + stubBytes, UNWIND_CFA_PLT | 11U << 14);
        }
        return true;
    default:
        return false;
    }
}

} // namespace hotspan::unwind
