/** Reading of .eh_frame_hdr in the form that all linkers write. */
#include "eh-frame-header.h"

namespace hotspan::unwind {
namespace {

constexpr uint8_t version = 1;
// DW_EH_PE_pcrel | DW_EH_PE_sdata4, and DW_EH_PE_udata4.
constexpr uint8_t pcRelative = 0x1b;
constexpr uint8_t plain = 0x03;
constexpr uint64_t pointerOffset = 4;

struct Header {
    uint8_t version;
    uint8_t pointerEncoding;
    uint8_t countEncoding;
    uint8_t tableEncoding;
    int32_t pointer;
    uint32_t count;
};

} // namespace

std::optional<EhFrameHeader> readEhFrameHeader(const symbols::ByteSource &source, const symbols::ElfFile &elf) {
    std::optional<uint64_t> at = elf.ehFrameHeaderAddress();
    std::optional<uint64_t> offset = at ? elf.fileOffsetOf(*at) : std::nullopt;
    Header bytes;
    if (!offset || !source.readAt(*offset, &bytes, sizeof bytes) || bytes.version != version ||
        bytes.pointerEncoding != pcRelative) {
        return std::nullopt;
    }
    EhFrameHeader header;
    header.address = *at + pointerOffset + static_cast<uint64_t>(int64_t{bytes.pointer});
    header.functionCount = bytes.countEncoding == plain ? bytes.count : 0;
    std::optional<uint64_t> fileOffset = elf.fileOffsetOf(header.address);
    if (!fileOffset) {
        return std::nullopt;
    }
    header.fileOffset = *fileOffset;
    for (const symbols::Segment &segment : elf.segments()) {
        if (header.fileOffset >= segment.fileOffset && header.fileOffset - segment.fileOffset < segment.fileSizeBytes) {
            header.maxSizeBytes = segment.fileOffset + segment.fileSizeBytes - header.fileOffset;
        }
    }
    return header;
}

} // namespace hotspan::unwind
