/**
 * The parts of an ELF file that naming an address needs: segments, build id, sections. Every count, offset and size in
 * the file is taken as a claim of a stranger: it is checked against the file's real size and a bound before it is used.
 * Format: System V ABI, gABI chapters 4 and 5. Little endian, 32 and 64 bit.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "byte-source.h"

namespace hotspan::symbols {

/** A PT_LOAD program header. */
struct Segment {
    uint64_t fileOffset = 0;
    uint64_t fileSizeBytes = 0;
    uint64_t address = 0;
    bool isExecutable = false;
};

struct Section {
    std::string name;
    uint32_t type = 0;
    uint32_t link = 0;
    uint64_t flags = 0;
    uint64_t address = 0;
    uint64_t offset = 0;
    uint64_t sizeBytes = 0;
    uint64_t entrySizeBytes = 0;
};

class ElfFile {
  public:
    /** Header, segments and build id; nothing where the bytes are not an ELF file of this machine's byte order. */
    static std::optional<ElfFile> read(const ByteSource &source);

    bool is64() const { return is64_; }
    uint16_t machine() const { return machine_; }
    const std::vector<Segment> &segments() const { return segments_; }
    /** Where the kernel enters a program, or the dynamic linker. 0 where that is nowhere. */
    uint64_t entryAddress() const { return entryAddress_; }
    /** Hex; empty where the file has none. */
    const std::string &buildId() const { return buildId_; }
    /** ELF address of .eh_frame_hdr (PT_GNU_EH_FRAME): how .eh_frame is found without section headers. */
    std::optional<uint64_t> ehFrameHeaderAddress() const { return ehFrameHeaderAddress_; }
    /** Hash of file header, program and section headers: part of what tells two files with one build id apart. */
    uint64_t headerHash() const { return headerHash_; }

    /** Takes the build id from its section where no segment told it: debug files often have no segments of use. */
    void takeBuildId(const ByteSource &source, const std::vector<Section> &sections);

    /** Whether all that the headers tell of lies within the file; else it was cut short, or lies. */
    bool isWhole(const ByteSource &source) const;

    /** What follows is read anew at each call: sections are needed once, when symbols are loaded. */
    std::vector<Section> readSections(const ByteSource &source) const;

    /** ELF address of a byte of an executable mapping; nothing where no segment holds it. */
    std::optional<uint64_t> addressOf(uint64_t fileOffset) const;
    std::optional<uint64_t> fileOffsetOf(uint64_t address) const;

  private:
    bool readHeader(const ByteSource &source);
    bool readSegments(const ByteSource &source);
    void readBuildId(const ByteSource &source, uint64_t offset, uint64_t sizeBytes, uint64_t align);

    bool is64_ = true;
    uint16_t machine_ = 0;
    uint64_t programHeaderOffset_ = 0;
    uint64_t sectionHeaderOffset_ = 0;
    uint32_t programHeaderCount_ = 0;
    uint32_t programHeaderSize_ = 0;
    uint32_t sectionHeaderCount_ = 0;
    uint32_t sectionHeaderSize_ = 0;
    uint32_t sectionNameIndex_ = 0;
    uint64_t entryAddress_ = 0;
    uint64_t headerHash_ = 0;
    std::optional<uint64_t> ehFrameHeaderAddress_;
    std::string buildId_;
    std::vector<Segment> segments_;
};

} // namespace hotspan::symbols
