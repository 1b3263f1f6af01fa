/**
 * Room for unwind tables and lists of mappings in the blocks of bpf/lib/unwind-table.h. What was given back is not used
 * again for a grace period, because a program may still be reading it. Not locked: the engine's lock guards it.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace hotspan::unwind {

/** Longer than any walk takes, an interrupted one included. */
constexpr uint64_t graceNs = 200'000'000;

/** Where blocks come from: maps of the kernel, or plain memory in tests. */
class BlockSource {
  public:
    virtual ~BlockSource() = default;
    /** Memory of a new block, which programs find under its number from now on; null where there is none. */
    virtual uint8_t *open(uint32_t number) = 0;
    /** Programs do not find it any more. The memory stays. */
    virtual void hide(uint32_t number) = 0;
    /** A grace period after hide(). */
    virtual void close(uint32_t number) = 0;
};

/** A piece of a block. */
struct Room {
    uint32_t block = 0;
    uint32_t offset = 0;
    uint32_t sizeBytes = 0;
    /** As the tables refer to it. */
    uint32_t place() const;
};

class BlockArena {
  public:
    /** Uses at most `maxBytes`, in whole blocks. `clock` tells nanoseconds of any origin. */
    BlockArena(BlockSource &source, size_t maxBytes, uint64_t (*clock)());
    ~BlockArena();
    BlockArena(const BlockArena &) = delete;
    BlockArena &operator=(const BlockArena &) = delete;

    /** At most a block's size. Nothing where no block has that much in one piece and no further block may be made. */
    std::optional<Room> take(uint32_t sizeBytes);
    uint8_t *data(const Room &room) { return blocks_[room.block].memory + room.offset; }
    /** Nothing that is published refers to it any more; readers that began before may still be there. */
    void give(const Room &room);
    /** As give(), for room that was never published. */
    void cancel(const Room &room) { release(room); }
    /** Makes usable what was given back a grace period ago, and closes blocks that stayed empty. Call now and then. */
    void collect();

    /** Base of each block by number, null where there is none: for reading as the programs do. */
    std::vector<const uint8_t *> bases() const;
    size_t usedBytes() const { return usedBytes_; }
    /** Given back, and still in its grace period. */
    size_t graceBytes() const { return graceBytes_; }
    size_t blockBytes() const;
    size_t maxBytes() const;

  private:
    struct Extent {
        uint32_t offset;
        uint32_t sizeBytes;
    };
    struct Block {
        uint8_t *memory = nullptr;
        /** By offset; neighbours are merged. */
        std::vector<Extent> free;
        uint32_t largest = 0;
        /** Hidden, and closed at this time. 0: in use. */
        uint64_t closeNs = 0;
    };
    struct Given {
        uint64_t reuseNs;
        Room room;
    };
    std::optional<Room> takeFrom(uint32_t number, uint32_t sizeBytes);
    void release(const Room &room);
    void closeEmpty(uint64_t nowNs);

    BlockSource &source_;
    uint64_t (*const clock_)();
    std::vector<Block> blocks_;
    std::deque<Given> given_;
    size_t usedBytes_ = 0;
    size_t graceBytes_ = 0;
};

} // namespace hotspan::unwind
