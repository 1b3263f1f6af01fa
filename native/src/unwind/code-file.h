/**
 * Files that processes have mapped as code, and their unwind tables. A file is known by device, inode, size and time of
 * change; its table by what it contains, so that copies of a file share one. Not locked: the engine's lock guards it.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "../symbols/elf-file.h"
#include "../symbols/object-file.h"
#include "block-arena.h"

namespace hotspan::unwind {

/** A file's table in the blocks. */
struct PlacedTable {
    enum class State : uint8_t {
        pending, /* is being made, or waits for it */
        ready,
        none,   /* the file has no call frame information */
        noRoom, /* evicted, or found no room under the cap */
    };
    State state = State::pending;
    std::string key;
    /** Of the first unwind_page with rules; pages before it are left out. */
    uint32_t firstPage = 0;
    uint32_t pages = 0;
    uint32_t pageCount = 0;
    std::vector<Room> rooms;
    size_t sizeBytes = 0;
    uint32_t rowCount = 0;
};

struct CodeFile {
    uint32_t deviceMajor = 0;
    uint32_t deviceMinor = 0;
    uint64_t inode = 0;
    /** Size and time of change; nothing where it could not be asked for before its process was gone. */
    std::optional<symbols::FileKey> key;
    symbols::FileSighting sighting;
    /** In whose root the path is looked up when the process is gone. */
    int parentPid = 0;
    /** The mapped file itself, held until it is read; may be empty. */
    symbols::UniqueFd location;
    uint64_t checkedNs = 0;
    uint64_t seenNs = 0;
    /** Its table was made, or refused, last. */
    uint64_t triedNs = 0;

    bool isVdso = false;
    /** What it is was looked at: elf and table hold. */
    bool isRead = false;
    bool isQueued = false;
    /** A stack waits for its table. */
    bool isWanted = false;
    std::optional<symbols::ElfFile> elf;
    /** Null until it is read, and where it is no ELF file. */
    std::shared_ptr<PlacedTable> table;
};

/** Where a process has a file mapped, as maps or an event tells it. */
struct FileMapping {
    int pid = 0;
    int parentPid = 0;
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t inode = 0;
    uint32_t deviceMajor = 0;
    uint32_t deviceMinor = 0;
    std::string path;
};

/** Memory made at run time, or shared memory: nothing that anyone could read as a file. */
bool isAnonymousCode(const std::string &path);

class CodeFiles {
  public:
    CodeFiles();
    /** Null for code in no file. A file that was not known before is new: isRead and isQueued are false. */
    std::shared_ptr<CodeFile> of(const FileMapping &mapping, uint64_t nowNs);
    const std::shared_ptr<CodeFile> &vdso() const { return vdso_; }
    /** The file's location, which it then no longer holds. */
    symbols::UniqueFd takeLocation(CodeFile &file);
    /** Forgets the files that nobody has mapped any more, but for those seen last. */
    void forgetUnused();
    size_t size() const { return files_.size(); }

  private:
    struct Id {
        uint64_t inode;
        uint64_t device;
        bool operator==(const Id &) const = default;
    };
    struct IdHash {
        size_t operator()(const Id &id) const { return id.inode * 0x9e3779b97f4a7c15ULL ^ id.device; }
    };
    std::unordered_map<Id, std::shared_ptr<CodeFile>, IdHash> files_;
    size_t heldLocations_ = 0;
    size_t pathBytes_ = 0;
    std::shared_ptr<CodeFile> vdso_;
    /** Stands for the files beyond the bound. */
    std::shared_ptr<CodeFile> beyond_;
};

} // namespace hotspan::unwind
