/** Reading of common and of function entries. */
#include "cfi-section.h"

#include <algorithm>
#include <cstring>

namespace hotspan::unwind {
namespace {

// Pointer encodings, Linux Standard Base 5.0, 10.5.1.
constexpr uint8_t encodingOmit = 0xff;
constexpr uint8_t encodingFormat = 0x0f;
constexpr uint8_t encodingBase = 0x70;
constexpr uint8_t encodingPcRelative = 0x10;
constexpr uint8_t encodingIndirect = 0x80;

// The longest seen is 40 KB (a generated parser). Longer than this is nonsense.
constexpr uint64_t maxRecordBytes = 1U << 20;
constexpr size_t commonPieceBytes = 4096;
// Files have a handful of common entries, but .debug_frame has one for each compilation unit; direct-mapped.
constexpr size_t cachedCommons = 64;
constexpr uint64_t maxCommonBytes = 4096;

} // namespace

CodeSegments::CodeSegments(const symbols::ElfFile &elf) {
    for (const symbols::Segment &segment : elf.segments()) {
        if (segment.isExecutable && segment.address <= UINT32_MAX) {
            uint64_t sizeBytes = std::min<uint64_t>(segment.fileSizeBytes, UINT32_MAX - segment.address);
            spans_.push_back({segment.address, segment.address + sizeBytes});
        }
    }
}

uint32_t CodeSegments::sizeFrom(uint64_t address) const {
    for (const Span &span : spans_) {
        if (address >= span.begin && address < span.end) {
            return static_cast<uint32_t>(span.end - address);
        }
    }
    return 0;
}

CfiSection::CfiSection(const symbols::ByteSource &bytes, uint64_t offset, uint64_t sizeBytes, uint64_t address,
                       RangeOwner owner)
    : window_(bytes, offset, std::min<uint64_t>(sizeBytes, maxRangeOffset)),
      commonWindow_(bytes, offset, std::min<uint64_t>(sizeBytes, maxRangeOffset), commonPieceBytes), address_(address),
      owner_(owner), commons_(cachedCommons) {}

CfiSection::Found CfiSection::readRecord(ByteWindow &window, uint64_t offset, Record &record) {
    const uint8_t *bytes = window.view(offset, 4);
    if (bytes == nullptr) {
        return Found::end;
    }
    uint32_t length32 = 0;
    memcpy(&length32, bytes, sizeof length32);
    if (length32 == 0) {
        record.endOffset = offset + 4;
        return Found::terminator;
    }
    bool isLong = length32 == 0xffffffff;
    uint64_t length = length32;
    record.idOffset = offset + (isLong ? 12 : 4);
    if (isLong) {
        bytes = window.view(offset, 12);
        if (bytes == nullptr) {
            return Found::end;
        }
        memcpy(&length, bytes + 4, sizeof length);
    }
    size_t idBytes = isLong && owner_ == RangeOwner::debugFrame ? 8 : 4;
    bytes = window.view(record.idOffset, idBytes);
    if (bytes == nullptr || length < idBytes || length > window.sizeBytes() - record.idOffset) {
        return Found::end;
    }
    uint64_t id = 0;
    memcpy(&id, bytes, idBytes);
    record.endOffset = record.idOffset + length;
    record.bodyOffset = record.idOffset + idBytes;
    record.commonOffset.reset();
    if (owner_ == RangeOwner::debugFrame) {
        if (id != (idBytes == 8 ? ~uint64_t{0} : 0xffffffffU)) {
            record.commonOffset = id;
        }
    } else if (id != 0) {
        // Backwards from the field itself.
        record.commonOffset = record.idOffset - id;
    }
    return Found::record;
}

std::optional<uint64_t> CfiSection::takePointer(ByteCursor &cursor, uint8_t encoding, uint64_t fieldAddress) const {
    uint64_t value = 0;
    switch (encoding & encodingFormat) {
    case 0x00:
    case 0x04:
    case 0x0c:
        value = cursor.take<uint64_t>();
        break;
    case 0x01:
        value = cursor.takeUleb();
        break;
    case 0x02:
        value = cursor.take<uint16_t>();
        break;
    case 0x03:
        value = cursor.take<uint32_t>();
        break;
    case 0x09:
        value = static_cast<uint64_t>(cursor.takeSleb());
        break;
    case 0x0a:
        value = static_cast<uint64_t>(int64_t{cursor.take<int16_t>()});
        break;
    case 0x0b:
        value = static_cast<uint64_t>(int64_t{cursor.take<int32_t>()});
        break;
    default:
        return std::nullopt;
    }
    if ((encoding & encodingBase) == encodingPcRelative) {
        value += fieldAddress;
    } else if ((encoding & encodingBase) != 0) {
        return std::nullopt;
    }
    return cursor.isGood() ? std::optional(value) : std::nullopt;
}

std::optional<CfiSection::Common> CfiSection::readCommon(uint64_t offset) {
    Record record;
    if (readRecord(commonWindow_, offset, record) != Found::record || record.commonOffset ||
        record.endOffset - record.bodyOffset > maxCommonBytes) {
        return std::nullopt;
    }
    size_t sizeBytes = static_cast<size_t>(record.endOffset - record.bodyOffset);
    const uint8_t *bytes = commonWindow_.view(record.bodyOffset, sizeBytes);
    if (bytes == nullptr) {
        return std::nullopt;
    }
    ByteCursor cursor(bytes, bytes + sizeBytes);
    Common common;
    auto version = cursor.take<uint8_t>();
    const auto *augmentation = reinterpret_cast<const char *>(cursor.at());
    size_t augmentationSize = strnlen(augmentation, cursor.left());
    cursor.skip(augmentationSize + 1);
    if (!cursor.isGood() || (version != 1 && version != 3 && version != 4)) {
        return std::nullopt;
    }
    if (version == 4 && (cursor.take<uint8_t>() != 8 || cursor.take<uint8_t>() != 0)) {
        return std::nullopt;
    }
    common.context.codeAlignment = cursor.takeUleb();
    common.context.dataAlignment = cursor.takeSleb();
    uint64_t returnColumn = version == 1 ? cursor.take<uint8_t>() : cursor.takeUleb();
    if (returnColumn != dwarfRip) {
        return std::nullopt;
    }
    if (augmentationSize > 0) {
        // Without z the size of what an unknown letter stands for is not known.
        if (augmentation[0] != 'z') {
            return std::nullopt;
        }
        common.hasAugmentationSize = true;
        uint64_t augmentationBytes = cursor.takeUleb();
        ByteCursor data(cursor.at(), cursor.at() + std::min<uint64_t>(augmentationBytes, cursor.left()));
        cursor.skip(augmentationBytes);
        for (size_t i = 1; i < augmentationSize; i++) {
            if (augmentation[i] == 'R') {
                common.context.pointerEncoding = data.take<uint8_t>();
            } else if (augmentation[i] == 'L') {
                data.skip(1);
            } else if (augmentation[i] == 'P') {
                auto encoding = data.take<uint8_t>();
                takePointer(data, encoding & encodingFormat, 0);
            } else if (augmentation[i] != 'S' && augmentation[i] != 'B' && augmentation[i] != 'G') {
                break;
            }
        }
    }
    if (!cursor.isGood() || !runInitialInstructions(common.context, cursor)) {
        return std::nullopt;
    }
    return common;
}

const CfiSection::Common *CfiSection::commonAt(uint64_t offset) {
    CachedCommon &slot = commons_[(offset * 0x9e3779b97f4a7c15ULL) >> 58 & (cachedCommons - 1)];
    if (slot.offset != offset) {
        slot.common = readCommon(offset);
        slot.offset = offset;
    }
    return slot.common ? &*slot.common : nullptr;
}

std::optional<CfiSection::Function> CfiSection::readFunction(const Record &record) {
    uint64_t sizeBytes = record.endOffset - record.bodyOffset;
    const Common *common = commonAt(*record.commonOffset);
    if (common == nullptr || sizeBytes > maxRecordBytes) {
        return std::nullopt;
    }
    const uint8_t *bytes = window_.view(record.bodyOffset, static_cast<size_t>(sizeBytes));
    if (bytes == nullptr) {
        return std::nullopt;
    }
    uint8_t encoding = common->context.pointerEncoding;
    if (encoding == encodingOmit || (encoding & encodingIndirect) != 0) {
        return std::nullopt;
    }
    ByteCursor cursor(bytes, bytes + sizeBytes);
    std::optional<uint64_t> begin = takePointer(cursor, encoding, address_ + record.bodyOffset);
    std::optional<uint64_t> size = takePointer(cursor, encoding & encodingFormat, 0);
    if (common->hasAugmentationSize) {
        cursor.skip(cursor.takeUleb());
    }
    if (!begin || !size || !cursor.isGood()) {
        return std::nullopt;
    }
    return Function{common, *begin, *size, cursor.at(), bytes + sizeBytes};
}

void CfiSection::collect(const CodeSegments &code, std::vector<CodeRange> &ranges, size_t functionCount) {
    uint64_t offset = 0;
    size_t left = functionCount > 0 ? functionCount : SIZE_MAX;
    while (left > 0 && ranges.size() < maxRanges) {
        Record record;
        Found found = readRecord(window_, offset, record);
        // A linker that puts crtend.o before other files leaves terminators in the midst of the section.
        if (found == Found::end || (found == Found::terminator && functionCount == 0)) {
            damagedCount_ += found == Found::end && offset < window_.sizeBytes() ? 1 : 0;
            return;
        }
        if (found == Found::record && record.commonOffset) {
            left--;
            std::optional<Function> function = readFunction(record);
            damagedCount_ += function ? 0 : 1;
            uint32_t codeBytes = function ? code.sizeFrom(function->begin) : 0;
            if (codeBytes > 0 && function->sizeBytes > 0) {
                auto sizeBytes = static_cast<uint32_t>(std::min<uint64_t>(function->sizeBytes, codeBytes));
                ranges.push_back({static_cast<uint32_t>(function->begin), sizeBytes,
                                  rangePlace(owner_, static_cast<uint32_t>(offset))});
            }
        }
        offset = record.endOffset;
    }
}

bool CfiSection::rowsOf(const CodeRange &range, uint64_t end, RowSink &sink) {
    Record record;
    std::optional<Function> function;
    if (readRecord(window_, range.offset(), record) == Found::record && record.commonOffset) {
        function = readFunction(record);
    }
    // Read a second time: a file that is being written may have changed.
    if (!function || function->begin != range.begin) {
        return false;
    }
    ByteCursor instructions(function->instructions, function->end);
    return runInstructions(function->common->context, instructions, range.begin, end, sink);
}

} // namespace hotspan::unwind
