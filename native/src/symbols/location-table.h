/**
 * Code locations as small ids: (module, address) <-> u32. Ids only grow, so an id never comes to mean something else;
 * when the table is full its oldest locations are forgotten, and get a new id if they are seen again.
 */
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace hotspan::symbols {

struct Location {
    uint64_t address = 0;
    uint32_t module = 0;
};

class LocationTable {
  public:
    /** Given for what could not be interned because ids ran out, after 2^32 locations. Never a location of its own. */
    static constexpr uint32_t noLocation = 0;
    /** Ids below are not given: they are left to who uses the table, for frames that are no code. */
    static constexpr uint32_t firstLocation = 256;

    explicit LocationTable(size_t maxLocations);

    uint32_t intern(uint32_t module, uint64_t address);
    /** Nothing for noLocation, an id never given, and a location forgotten since. */
    std::optional<Location> find(uint32_t id) const;

    size_t size() const { return size_; }
    size_t bytes() const;
    uint64_t forgotten() const { return forgotten_; }

  private:
    static constexpr uint32_t chunkSize = 4096;
    struct Entry {
        uint64_t address;
        uint32_t module;
        uint32_t hash;
    };
    struct Chunk {
        Entry entries[chunkSize];
    };

    const Entry &entryOf(uint32_t id) const {
        return chunks_[(id - firstId_) / chunkSize]->entries[(id - firstId_) % chunkSize];
    }
    uint32_t append(const Entry &entry);
    void insertSlot(uint32_t id, uint32_t hash);
    void eraseSlot(uint32_t id, uint32_t hash);
    void grow();
    void forgetOldestChunk();

    size_t maxChunks_;
    size_t size_ = 0;
    uint64_t forgotten_ = 0;
    /** Id of the first entry of the first chunk kept. Chunks hold consecutive ids. */
    uint32_t firstId_ = firstLocation;
    uint32_t nextId_ = firstLocation;
    std::deque<std::unique_ptr<Chunk>> chunks_;
    /** Open addressing with linear probing; 0 is a free slot. A power of two, at most half full. */
    std::vector<uint32_t> slots_;
};

} // namespace hotspan::symbols
