/**
 * A file that processes have mapped as code, known by its content. Its descriptor is open only from the first sight
 * until its symbols were read: one that stayed open would keep the disk space of deleted files and hinder the
 * unmounting of containers.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "byte-source.h"
#include "debug-info.h"
#include "elf-file.h"
#include "go-symbols.h"
#include "proc-maps.h"
#include "symbol-table.h"

namespace hotspan::symbols {

/** Which file it is, and in which state: a file that is rewritten in place gets another key. */
struct FileKey {
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t sizeBytes = 0;
    uint64_t mtimeNs = 0;
    bool operator==(const FileKey &) const = default;
};

/** Where a file was seen, to open it again if its symbols had to be dropped from memory. */
struct FileSighting {
    int pid = 0;
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t inode = 0;
    std::string path;
};

struct FileStatus {
    FileKey key;
    bool isDeleted = false;
};

struct OpenedFile {
    UniqueFd fd;
    FileKey key;
    bool isDeleted = false;
};

/** What file is behind a mapping, without opening it; nothing where that cannot be told or it is no regular file. */
std::optional<FileStatus> statMappedFile(const FileSighting &sighting);

/**
 * Opens the file behind a mapping: by /proc/PID/map_files, which is the mapped file itself even if deleted or replaced,
 * else by its path below /proc/PID/root. Regular files alone: opening a device may do something.
 */
std::optional<OpenedFile> openMappedFile(const FileSighting &sighting);
/** The mapped file itself, not open for reading; empty where that may not be had. Asks no file system. */
UniqueFd locateMappedFile(const FileSighting &sighting);
/** Opens for reading what was located. `pid`: in whose mount table it is. */
std::optional<OpenedFile> openLocated(int pid, UniqueFd location);
/** Opens a path as the process sees it. Links are followed within its root, never out of it. */
UniqueFd openInRootOf(int pid, const std::string &path);
/** The same for reading. Regular files alone. */
std::optional<OpenedFile> openFileInRootOf(int pid, const std::string &path);
/** `pid`: in whose mount table the file is. */
std::optional<OpenedFile> openRegularFile(int pid, const char *path);

struct ObjectFile {
    FileKey key;
    /** Nothing where the file is no ELF file. */
    std::optional<ElfFile> elf;
    UniqueFd fd;
    FileSighting sighting;
    std::shared_ptr<const SymbolTable> table;
    /** Set with the table, where the file is Go's. */
    std::shared_ptr<const GoSymbols> go;
    /** Set with the table, where there is debug information. Used by the thread that describes alone. */
    std::shared_ptr<DebugInfo> debug;
    /** Lookups that took too long to be finished; after some the debug information is left alone. */
    int slowLookups = 0;
    /** Reading was tried and failed: not tried again. */
    bool isUnreadable = false;
    bool isGo = false;
    /** A debug file came: read anew at the next use. */
    bool isStale = false;
    uint64_t lastUse = 0;
    uint64_t readNs = 0;

    const std::string &buildId() const;
    /** Of its symbols in memory. */
    size_t symbolBytes() const {
        return (table ? table->bytes() : 0) + (go ? go->bytes() : 0) + (debug ? debug->bytes() : 0);
    }
    void dropSymbols() {
        table.reset();
        go.reset();
        debug.reset();
    }
    /** Equal for copies of one file (container layers): they share symbols. Empty where that cannot be told. */
    std::string contentKey() const;
};

} // namespace hotspan::symbols
