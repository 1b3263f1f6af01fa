/**
 * The executable mappings of a process, changed by what the kernel tells, and as the programs read them. Processes that
 * forked and changed nothing since share one.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "../../../bpf/lib/unwind-table.h"
#include "block-arena.h"
#include "code-file.h"

namespace hotspan::unwind {

struct CodeRange {
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t fileOffset = 0;
    /** Null: code in no file. */
    std::shared_ptr<CodeFile> file;
};

class MappingList {
  public:
    explicit MappingList(BlockArena &arena) : arena_(arena) {}
    /** The published copy's room is given back: no process may refer to it any more. */
    ~MappingList();
    MappingList(const MappingList &) = delete;
    MappingList &operator=(const MappingList &) = delete;
    /** With the same ranges, not published. */
    std::shared_ptr<MappingList> copy() const;

    /** A new mapping takes the place of what was there. False where nothing changes by it. */
    bool add(CodeRange range);
    /** All anew. */
    void replace(std::vector<CodeRange> ranges);
    const std::vector<CodeRange> &ranges() const { return ranges_; }
    const CodeRange *find(uint64_t address) const;
    /** There were more than UNWIND_MAX_MAPPINGS. */
    bool isTruncated() const { return isTruncated_; }
    /** Grown so much since it was read that most of it may be of the past: unmapping is not told. */
    bool isStale() const { return ranges_.size() > 2 * countAtRead_ + 64; }
    bool uses(const PlacedTable &table) const;
    bool uses(const CodeFile &file) const;

    void markDirty() { isDirty_ = true; }
    /** The published copy refers to a table that goes: the next publish() of all must not leave it so. */
    void markUrgent() {
        isDirty_ = true;
        isUrgent_ = true;
        nextPublishNs_ = 0;
    }
    bool isUrgent() const { return isUrgent_; }
    bool isDirty() const { return isDirty_; }
    uint64_t nextPublishNs() const { return nextPublishNs_; }
    /**
     * Writes the list into the arena. The room of the copy before is put into `retired`, to be given back once no
     * process refers to it. False where there is no room.
     */
    bool publish(uint64_t nowNs, std::vector<Room> &retired);
    /** Of struct unwind_process; 0 before the first publish. */
    uint64_t word() const { return word_; }

  private:
    bool isCovered(const CodeRange &range) const;
    void mergeAround(size_t index);

    BlockArena &arena_;
    std::vector<CodeRange> ranges_;
    size_t countAtRead_ = 0;
    std::optional<Room> room_;
    uint64_t word_ = 0;
    uint64_t nextPublishNs_ = 0;
    bool isDirty_ = true;
    bool isUrgent_ = false;
    bool isTruncated_ = false;
};

/** A range as the programs read it. */
unwind_mapping describeRange(const CodeRange &range);

} // namespace hotspan::unwind
