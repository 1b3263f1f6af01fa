/**
 * A file with debug sections: the program itself, a separate debug file, a .dwo or .dwp. Sections are read by copy and
 * where they stand; packed ones are unpacked once, small ones into memory and large ones into a nameless file on disk.
 * The descriptor is held only while names are looked up (as in object-file.h).
 */
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "byte-source.h"
#include "elf-file.h"

namespace hotspan::symbols {

enum class DebugSection : uint8_t { info, abbrev, line, str, lineStr, strOffsets, addr, ranges, rnglists, cuIndex };
constexpr size_t debugSectionCount = 10;

/** Opens the same file again; nothing where it is gone or has become another. */
using FileOpener = std::function<UniqueFd()>;

class DebugFile {
  public:
    /** Nothing where it is no ELF file. */
    static std::shared_ptr<DebugFile> open(UniqueFd fd, FileOpener openAgain);
    /** For bytes in memory, which must live as long as the file. */
    static std::shared_ptr<DebugFile> ofMemory(const void *data, size_t sizeBytes);

    const ElfFile &elf() const { return elf_; }
    const std::vector<Section> &sections() const { return sections_; }
    /** Opens the file if it is not open. Without bytes where that failed. */
    ByteSource source();
    /** Lets the descriptor go; section() opens the file again. */
    void close() { fd_.reset(); }

    bool has(DebugSection section) const { return places_[static_cast<size_t>(section)].sizeBytes > 0; }
    /** Unpacked; without bytes where there is no such section, or it could not be read. Valid until close(). */
    ByteSource section(DebugSection section);
    /** Forgets what was unpacked. */
    void release();
    /** Memory taken, without what lies on disk. */
    size_t bytes() const { return sizeof *this + sections_.capacity() * sizeof(Section) + unpackedBytes_; }

  private:
    /** Where a section's bytes are: in the file, or unpacked in memory or on disk. */
    struct Place {
        uint64_t offset = 0;
        uint64_t sizeBytes = 0;
        /** As unpacked; 0 for one that is not packed. */
        uint64_t unpackedBytes = 0;
        bool isZstd = false;
        bool isFailed = false;
        std::vector<uint8_t> memory;
        UniqueFd spool;
    };
    DebugFile() = default;
    bool readHeaders(const ByteSource &source);
    void findSections(const ByteSource &source);
    bool unpackPlace(Place &place, const ByteSource &source);

    UniqueFd fd_;
    FileOpener openAgain_;
    std::optional<ByteSource> memory_;
    ElfFile elf_;
    std::vector<Section> sections_;
    std::array<Place, debugSectionCount> places_;
    size_t unpackedBytes_ = 0;
};

/** ".debug_info" and the like. */
const char *debugSectionName(DebugSection section);

} // namespace hotspan::symbols
