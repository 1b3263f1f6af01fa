/**
 * Reads a mapped file and makes its unwind table, or takes it from the cache on disk. Has no lock: one thread uses it,
 * with what it needs to know of a file copied.
 */
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "code-file.h"
#include "table-cache.h"
#include "unwind-table.h"

namespace hotspan::unwind {

/** What is needed of a CodeFile to read it. */
struct FileToRead {
    symbols::UniqueFd location;
    symbols::FileSighting sighting;
    int parentPid = 0;
    std::optional<symbols::FileKey> key;
    bool isVdso = false;
};

struct MadeTable {
    /** False where the file could not be opened. */
    bool isOpened = false;
    std::optional<symbols::ElfFile> elf;
    std::optional<symbols::FileKey> fileKey;
    /** Of the content; empty where it is no ELF file. */
    std::string key;
    /** Nothing where isKnown said that the table is there already, and for what cannot have one. */
    std::optional<UnwindTable> table;
    bool isFromCache = false;
};

class TableMaker {
  public:
    /** `cacheDir` may be empty: nothing is cached. */
    explicit TableMaker(const std::string &cacheDir) : cache_(cacheDir) {}
    /** `isKnown` is asked whether the table of such content is there already. */
    MadeTable make(FileToRead file, const std::function<bool(const std::string &)> &isKnown);

  private:
    TableCache cache_;
};

} // namespace hotspan::unwind
