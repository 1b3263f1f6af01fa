/**
 * The walk of bpf/lib/unwind-step.h in user space: over copies of stacks, cores, or whatever memory a reader gives. The
 * tables are in blocks, as the programs read them; TableImage makes such blocks of tables without any map.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "unwind-table.h"

namespace hotspan::unwind {

/** Memory of the process that is walked. */
class MemoryReader {
  public:
    virtual ~MemoryReader() = default;
    /** False where not all of it can be read. */
    virtual bool read(uint64_t address, void *to, size_t sizeBytes) = 0;
};

/** A piece of a stack, from `start` on. */
class CopiedMemory : public MemoryReader {
  public:
    CopiedMemory(uint64_t start, std::span<const uint8_t> bytes) : start_(start), bytes_(bytes) {}
    bool read(uint64_t address, void *to, size_t sizeBytes) override;

  private:
    uint64_t start_;
    std::span<const uint8_t> bytes_;
};

/** The frame to begin with. */
struct WalkInput {
    uint64_t ip = 0;
    uint64_t sp = 0;
    uint64_t bp = 0;
    /** 16, by DWARF number; null where they are not known. */
    const uint64_t *registers = nullptr;
    /** ip is no return address, and the registers hold. */
    bool isLeaf = true;
};

/** What the programs read: blocks by number, null where there is none, and the process's word of unwind_processes. */
struct WalkTables {
    std::span<const uint8_t *const> blocks;
    uint64_t list = 0;
};

struct WalkResult {
    /** Leaf first. The first is the input's ip. */
    std::vector<uint64_t> addresses;
    unwind_end end = UNWIND_END_NONE;
    /** The frame that the walk ended at. */
    uint64_t ip = 0;
    uint64_t sp = 0;
    uint64_t bp = 0;
};

WalkResult walkUser(const WalkInput &input, MemoryReader &memory, const WalkTables &tables);

/** Blocks of plain memory, filled with the tables and mappings of a process, or of several one after the other. */
class TableImage {
  public:
    /**
     * An executable mapping; `mapping` needs start, end, bias and kind alone. The table is copied, once however often
     * it is given; without one a mapping of kind UNWIND_MAPPING_TABLE has no rules.
     */
    void map(unwind_mapping mapping, const UnwindTable *table = nullptr);
    /** Valid until the next map(). */
    WalkTables tables();
    /** What is mapped from now on is another process's; lists that were given stay as they are. */
    void startNext();

  private:
    struct Place {
        uint32_t pages;
        uint16_t pageCount;
    };
    uint32_t take(size_t sizeBytes);
    uint8_t *at(uint32_t place);
    Place copy(const UnwindTable &table);

    std::vector<std::unique_ptr<uint8_t[]>> blocks_;
    std::vector<const uint8_t *> bases_;
    size_t usedBytes_ = UNWIND_BLOCK_BYTES;
    std::map<const UnwindTable *, Place> copied_;
    std::vector<unwind_mapping> mappings_;
    bool isListed_ = false;
    uint64_t list_ = 0;
};

} // namespace hotspan::unwind
