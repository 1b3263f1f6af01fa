/** First fit over blocks, and over the free pieces of each. */
#include "block-arena.h"

#include <algorithm>

#include "../../../bpf/lib/unwind-table.h"

namespace hotspan::unwind {
namespace {

uint32_t rounded(uint32_t sizeBytes) {
    return (sizeBytes + UNWIND_UNIT - 1) / UNWIND_UNIT * UNWIND_UNIT;
}

} // namespace

uint32_t Room::place() const {
    return block << 16 | offset / UNWIND_UNIT;
}

BlockArena::BlockArena(BlockSource &source, size_t maxBytes, uint64_t (*clock)())
    : source_(source), clock_(clock), blocks_(std::clamp<size_t>(maxBytes / UNWIND_BLOCK_BYTES, 1, UNWIND_MAX_BLOCKS)) {
}

BlockArena::~BlockArena() {
    for (uint32_t number = 0; number < blocks_.size(); number++) {
        if (blocks_[number].memory != nullptr) {
            source_.hide(number);
            source_.close(number);
        }
    }
}

std::optional<Room> BlockArena::take(uint32_t sizeBytes) {
    uint32_t wanted = rounded(std::max(sizeBytes, 1U));
    if (wanted > UNWIND_BLOCK_BYTES) {
        return std::nullopt;
    }
    collect();
    for (uint32_t number = 0; number < blocks_.size(); number++) {
        Block &block = blocks_[number];
        if (block.memory != nullptr && block.closeNs == 0 && block.largest >= wanted) {
            return takeFrom(number, wanted);
        }
    }
    for (uint32_t number = 0; number < blocks_.size(); number++) {
        Block &block = blocks_[number];
        if (block.memory != nullptr) {
            continue;
        }
        block.memory = source_.open(number);
        if (block.memory == nullptr) {
            return std::nullopt;
        }
        block.free = {{0, UNWIND_BLOCK_BYTES}};
        block.largest = UNWIND_BLOCK_BYTES;
        return takeFrom(number, wanted);
    }
    return std::nullopt;
}

std::optional<Room> BlockArena::takeFrom(uint32_t number, uint32_t sizeBytes) {
    Block &block = blocks_[number];
    auto extent = std::find_if(block.free.begin(), block.free.end(),
                               [sizeBytes](const Extent &candidate) { return candidate.sizeBytes >= sizeBytes; });
    if (extent == block.free.end()) {
        return std::nullopt;
    }
    Room room{number, extent->offset, sizeBytes};
    extent->offset += sizeBytes;
    extent->sizeBytes -= sizeBytes;
    if (extent->sizeBytes == 0) {
        block.free.erase(extent);
    }
    block.largest = 0;
    for (const Extent &left : block.free) {
        block.largest = std::max(block.largest, left.sizeBytes);
    }
    usedBytes_ += sizeBytes;
    return room;
}

void BlockArena::give(const Room &room) {
    given_.push_back({clock_() + graceNs, room});
    graceBytes_ += room.sizeBytes;
}

void BlockArena::release(const Room &room) {
    Block &block = blocks_[room.block];
    auto after = std::lower_bound(block.free.begin(), block.free.end(), room.offset,
                                  [](const Extent &extent, uint32_t offset) { return extent.offset < offset; });
    auto merged = block.free.insert(after, {room.offset, room.sizeBytes});
    if (auto next = merged + 1; next != block.free.end() && merged->offset + merged->sizeBytes == next->offset) {
        merged->sizeBytes += next->sizeBytes;
        block.free.erase(next);
    }
    if (merged != block.free.begin()) {
        auto previous = merged - 1;
        if (previous->offset + previous->sizeBytes == merged->offset) {
            previous->sizeBytes += merged->sizeBytes;
            merged = block.free.erase(merged) - 1;
        }
    }
    block.largest = std::max(block.largest, merged->sizeBytes);
    usedBytes_ -= room.sizeBytes;
}

void BlockArena::collect() {
    uint64_t now = clock_();
    while (!given_.empty() && given_.front().reuseNs <= now) {
        graceBytes_ -= given_.front().room.sizeBytes;
        release(given_.front().room);
        given_.pop_front();
    }
    closeEmpty(now);
}

void BlockArena::closeEmpty(uint64_t nowNs) {
    // One empty block is kept: a host whose use goes up and down around a block's size would make and close one each
    // time.
    bool hasSpare = false;
    for (uint32_t number = 0; number < blocks_.size(); number++) {
        Block &block = blocks_[number];
        if (block.closeNs != 0 && block.closeNs <= nowNs) {
            source_.close(number);
            block = Block();
        }
        if (block.memory == nullptr || block.closeNs != 0 || block.largest != UNWIND_BLOCK_BYTES) {
            continue;
        }
        if (hasSpare) {
            source_.hide(number);
            block.closeNs = nowNs + graceNs;
        }
        hasSpare = true;
    }
}

std::vector<const uint8_t *> BlockArena::bases() const {
    std::vector<const uint8_t *> bases;
    bases.reserve(blocks_.size());
    for (const Block &block : blocks_) {
        bases.push_back(block.memory);
    }
    return bases;
}

size_t BlockArena::blockBytes() const {
    return UNWIND_BLOCK_BYTES *
           static_cast<size_t>(std::count_if(blocks_.begin(), blocks_.end(),
                                             [](const Block &block) { return block.memory != nullptr; }));
}

size_t BlockArena::maxBytes() const {
    return blocks_.size() * UNWIND_BLOCK_BYTES;
}

} // namespace hotspan::unwind
