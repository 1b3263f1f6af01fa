/** Interning of code locations. */
#include "location-table.h"

#include <algorithm>
#include <limits>

namespace hotspan::symbols {
namespace {

uint32_t hashOf(uint32_t module, uint64_t address) {
    // Finaliser of splitmix64: addresses differ in their low bits alone, and linear probing needs them spread.
    uint64_t x = address + uint64_t{module} * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<uint32_t>(x ^ (x >> 31));
}

} // namespace

LocationTable::LocationTable(size_t maxLocations)
    : maxChunks_(std::max<size_t>(2, maxLocations / chunkSize)), slots_(1024, noLocation) {}

uint32_t LocationTable::intern(uint32_t module, uint64_t address) {
    uint32_t hash = hashOf(module, address);
    size_t mask = slots_.size() - 1;
    for (size_t slot = hash & mask; slots_[slot] != noLocation; slot = (slot + 1) & mask) {
        const Entry &entry = entryOf(slots_[slot]);
        if (entry.hash == hash && entry.address == address && entry.module == module) {
            return slots_[slot];
        }
    }
    if (nextId_ == std::numeric_limits<uint32_t>::max()) {
        return noLocation;
    }
    return append({address, module, hash});
}

uint32_t LocationTable::append(const Entry &entry) {
    if ((nextId_ - firstId_) / chunkSize == chunks_.size()) {
        if (chunks_.size() == maxChunks_) {
            forgetOldestChunk();
        }
        chunks_.push_back(std::make_unique<Chunk>());
    }
    if (2 * (size_ + 1) > slots_.size()) {
        grow();
    }
    uint32_t id = nextId_++;
    chunks_.back()->entries[(id - firstId_) % chunkSize] = entry;
    insertSlot(id, entry.hash);
    size_++;
    return id;
}

std::optional<Location> LocationTable::find(uint32_t id) const {
    if (id < firstId_ || id >= nextId_) {
        return std::nullopt;
    }
    const Entry &entry = entryOf(id);
    return Location{entry.address, entry.module};
}

void LocationTable::insertSlot(uint32_t id, uint32_t hash) {
    size_t mask = slots_.size() - 1;
    size_t slot = hash & mask;
    while (slots_[slot] != noLocation) {
        slot = (slot + 1) & mask;
    }
    slots_[slot] = id;
}

void LocationTable::eraseSlot(uint32_t id, uint32_t hash) {
    size_t mask = slots_.size() - 1;
    size_t hole = hash & mask;
    while (slots_[hole] != id) {
        hole = (hole + 1) & mask;
    }
    // Close the hole by moving back what probed over it, so that no search ends too early (Knuth, 6.4 algorithm R).
    for (size_t slot = (hole + 1) & mask; slots_[slot] != noLocation; slot = (slot + 1) & mask) {
        size_t home = entryOf(slots_[slot]).hash & mask;
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            slots_[hole] = slots_[slot];
            hole = slot;
        }
    }
    slots_[hole] = noLocation;
}

void LocationTable::grow() {
    slots_.assign(slots_.size() * 2, noLocation);
    for (uint32_t id = firstId_; id < nextId_; id++) {
        insertSlot(id, entryOf(id).hash);
    }
}

void LocationTable::forgetOldestChunk() {
    for (uint32_t i = 0; i < chunkSize; i++) {
        eraseSlot(firstId_ + i, chunks_.front()->entries[i].hash);
    }
    chunks_.pop_front();
    firstId_ += chunkSize;
    size_ -= chunkSize;
    forgotten_ += chunkSize;
}

size_t LocationTable::bytes() const {
    return slots_.capacity() * sizeof(uint32_t) + chunks_.size() * sizeof(Chunk);
}

} // namespace hotspan::symbols
