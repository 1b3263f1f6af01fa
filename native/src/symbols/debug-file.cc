/** Finding and unpacking of debug sections. */
#include "debug-file.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include "decompress.h"

namespace hotspan::symbols {
namespace {

// Most programs' debug sections unpack to some MB, the largest (browsers) to 4 GiB: those are left out.
constexpr uint64_t maxUnpackedBytes = 1U << 30;
// Debug sections shrink to between a half and a tenth. What claims more is made to fill up a disk.
constexpr uint64_t maxRatio = 40;
constexpr uint64_t maxMemoryBytes = 2U << 20;

std::optional<DebugSection> debugSectionOf(std::string_view name, bool &isOldPacked) {
    isOldPacked = name.starts_with(".zdebug_");
    std::string plain = isOldPacked ? "." + std::string(name.substr(2)) : std::string(name);
    if (plain.ends_with(".dwo")) {
        plain.resize(plain.size() - 4);
    }
    for (size_t i = 0; i < debugSectionCount; i++) {
        if (plain == debugSectionName(static_cast<DebugSection>(i))) {
            return static_cast<DebugSection>(i);
        }
    }
    return std::nullopt;
}

/** A file without a name, gone with its descriptor. Disk, not memory: what is unpacked may be large and is seldom read.
 */
UniqueFd openSpool() {
    for (const char *directory : {"/var/tmp", "/tmp"}) {
        UniqueFd fd(open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600));
        if (fd) {
            return fd;
        }
    }
    return UniqueFd();
}

bool writeAll(int fd, const uint8_t *bytes, size_t sizeBytes) {
    while (sizeBytes > 0) {
        ssize_t done = write(fd, bytes, sizeBytes);
        if (done <= 0) {
            return false;
        }
        bytes += done;
        sizeBytes -= static_cast<size_t>(done);
    }
    return true;
}

} // namespace

const char *debugSectionName(DebugSection section) {
    static const char *const names[] = {".debug_info",     ".debug_abbrev",      ".debug_line", ".debug_str",
                                        ".debug_line_str", ".debug_str_offsets", ".debug_addr", ".debug_ranges",
                                        ".debug_rnglists", ".debug_cu_index"};
    return names[static_cast<size_t>(section)];
}

std::shared_ptr<DebugFile> DebugFile::open(UniqueFd fd, FileOpener openAgain) {
    std::shared_ptr<DebugFile> file(new DebugFile());
    file->fd_ = std::move(fd);
    file->openAgain_ = std::move(openAgain);
    return file->fd_ && file->readHeaders(ByteSource::ofFile(file->fd_.get())) ? file : nullptr;
}

std::shared_ptr<DebugFile> DebugFile::ofMemory(const void *data, size_t sizeBytes) {
    std::shared_ptr<DebugFile> file(new DebugFile());
    file->memory_ = ByteSource::ofMemory(data, sizeBytes);
    return file->readHeaders(*file->memory_) ? file : nullptr;
}

ByteSource DebugFile::source() {
    if (memory_) {
        return *memory_;
    }
    if (!fd_ && openAgain_) {
        fd_ = openAgain_();
    }
    return fd_ ? ByteSource::ofFile(fd_.get()) : ByteSource::ofMemory("", 0);
}

bool DebugFile::readHeaders(const ByteSource &source) {
    std::optional<ElfFile> elf = ElfFile::read(source);
    if (!elf) {
        return false;
    }
    elf_ = std::move(*elf);
    sections_ = elf_.readSections(source);
    elf_.takeBuildId(source, sections_);
    findSections(source);
    return true;
}

void DebugFile::findSections(const ByteSource &source) {
    for (const Section &section : sections_) {
        bool isOldPacked = false;
        std::optional<DebugSection> which = debugSectionOf(section.name, isOldPacked);
        if (!which || section.type == SHT_NOBITS || section.sizeBytes == 0) {
            continue;
        }
        Place place;
        place.offset = section.offset;
        place.sizeBytes = section.sizeBytes;
        uint8_t header[sizeof(Elf64_Chdr)] = {};
        size_t got = source.readSome(section.offset, header, std::min<uint64_t>(sizeof header, section.sizeBytes));
        size_t headerBytes = 0;
        if (isOldPacked) {
            // "ZLIB" and the size as unpacked, 8 bytes, big endian.
            headerBytes = 12;
            place.isFailed = got < headerBytes || memcmp(header, "ZLIB", 4) != 0;
            for (int i = 4; i < 12; i++) {
                place.unpackedBytes = place.unpackedBytes << 8 | header[i];
            }
        } else if ((section.flags & SHF_COMPRESSED) != 0) {
            Elf64_Chdr wide;
            Elf32_Chdr narrow;
            memcpy(&wide, header, sizeof wide);
            memcpy(&narrow, header, sizeof narrow);
            constexpr uint32_t zstdType = 2; // ELFCOMPRESS_ZSTD, gABI of 2022.
            headerBytes = elf_.is64() ? sizeof wide : sizeof narrow;
            uint32_t type = elf_.is64() ? wide.ch_type : narrow.ch_type;
            place.unpackedBytes = elf_.is64() ? wide.ch_size : narrow.ch_size;
            place.isZstd = type == zstdType;
            place.isFailed = got < headerBytes || (type != ELFCOMPRESS_ZLIB && type != zstdType);
        }
        place.offset += headerBytes;
        place.sizeBytes -= std::min<uint64_t>(place.sizeBytes, headerBytes);
        Place &known = places_[static_cast<size_t>(*which)];
        // A .dwo may have .debug_line.dwo beside a .debug_line of its own; the first is as good.
        if (known.sizeBytes == 0) {
            known = std::move(place);
        }
    }
}

ByteSource DebugFile::section(DebugSection section) {
    Place &place = places_[static_cast<size_t>(section)];
    if (place.sizeBytes == 0 || place.isFailed) {
        return ByteSource::ofMemory("", 0);
    }
    if (place.unpackedBytes == 0) {
        return source().part(place.offset, place.sizeBytes);
    }
    if (!place.spool && place.memory.empty() && !unpackPlace(place, source())) {
        place.isFailed = true;
        return ByteSource::ofMemory("", 0);
    }
    return place.spool ? ByteSource::ofFile(place.spool.get())
                       : ByteSource::ofMemory(place.memory.data(), place.memory.size());
}

bool DebugFile::unpackPlace(Place &place, const ByteSource &source) {
    if (place.unpackedBytes > maxUnpackedBytes || place.unpackedBytes / maxRatio > place.sizeBytes + 1024 ||
        place.sizeBytes > source.sizeBytes()) {
        return false;
    }
    PackedPart part{place.offset, place.sizeBytes};
    Packing packing = place.isZstd ? Packing::zstd : Packing::zlib;
    if (place.unpackedBytes <= maxMemoryBytes) {
        place.memory.reserve(static_cast<size_t>(place.unpackedBytes));
        bool isGood = unpack(source, part, packing, place.unpackedBytes, [&](const uint8_t *bytes, size_t sizeBytes) {
            place.memory.insert(place.memory.end(), bytes, bytes + sizeBytes);
            return true;
        });
        if (!isGood) {
            place.memory = {};
        }
        unpackedBytes_ += place.memory.size();
        return isGood;
    }
    UniqueFd spool = openSpool();
    bool isGood =
        spool && unpack(source, part, packing, place.unpackedBytes, [&](const uint8_t *bytes, size_t sizeBytes) {
            return writeAll(spool.get(), bytes, sizeBytes);
        });
    if (isGood) {
        place.spool = std::move(spool);
    }
    return isGood;
}

void DebugFile::release() {
    for (Place &place : places_) {
        place.memory = {};
        place.spool.reset();
    }
    unpackedBytes_ = 0;
    close();
}

} // namespace hotspan::symbols
