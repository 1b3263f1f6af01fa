/**
 * Tables in the blocks: placed, shared by files of equal content, and evicted where room is short. Not locked: the
 * engine's lock guards it.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "process-lists.h"
#include "unwind-table.h"
#include "use-marks.h"

namespace hotspan::unwind {

struct TableTotals {
    size_t tables = 0;
    size_t rows = 0;
    size_t bytes = 0;
    uint64_t evictions = 0;
    uint64_t refusals = 0;
};

class TableStore {
  public:
    TableStore(BlockArena &arena, ProcessLists &lists, const UseMarks &marks)
        : arena_(arena), lists_(lists), marks_(marks) {}

    /** The table of that content; a new one is pending. */
    std::shared_ptr<PlacedTable> of(const std::string &key);
    /** Copies a table into the blocks, and makes it ready. False where there is no room. */
    bool place(PlacedTable &placed, const UnwindTable &table);
    /**
     * Evicts what was used longest ago until `sizeBytes` will be free once the grace period is over. False where that
     * is not to be had: what no process has mapped goes for anyone; what is mapped goes only where `isWanted`, and
     * not if it was used in the last seconds.
     */
    bool evict(size_t sizeBytes, bool isWanted);
    void setState(PlacedTable &placed, PlacedTable::State state);
    void countRefusal() { refusals_++; }
    /** Of memory: tables without room that nobody has mapped. */
    void forgetUnused();
    TableTotals totals() const;

  private:
    bool placeChunk(PlacedTable &placed, const UnwindTable &table, uint32_t begin, uint32_t end);
    void giveUp(PlacedTable &placed);

    BlockArena &arena_;
    ProcessLists &lists_;
    const UseMarks &marks_;
    std::unordered_map<std::string, std::shared_ptr<PlacedTable>> tables_;
    uint64_t evictions_ = 0;
    uint64_t refusals_ = 0;
};

} // namespace hotspan::unwind
