/** The walk, and blocks made of tables. */
#include "walk.h"

#include <algorithm>
#include <cstring>

struct unwind_state;

namespace {

/** What a walk reads. One at a time on a thread. */
struct Access {
    hotspan::unwind::MemoryReader *memory = nullptr;
    std::span<const uint8_t *const> blocks;
};
thread_local Access walked;

const uint8_t *unwind_block(unwind_state *, uint32_t number) {
    return number < walked.blocks.size() ? walked.blocks[number] : nullptr;
}

int unwind_read(unwind_state *, void *to, uint32_t sizeBytes, uint64_t address) {
    return walked.memory->read(address, to, sizeBytes) ? 0 : -1;
}

} // namespace

#include "../../../bpf/lib/unwind-step.h"

namespace hotspan::unwind {

bool CopiedMemory::read(uint64_t address, void *to, size_t sizeBytes) {
    uint64_t offset = address - start_;
    if (address < start_ || offset > bytes_.size() || bytes_.size() - offset < sizeBytes) {
        return false;
    }
    memcpy(to, bytes_.data() + offset, sizeBytes);
    return true;
}

WalkResult walkUser(const WalkInput &input, MemoryReader &memory, const WalkTables &tables) {
    // 9 KiB: too much for the stacks of some threads.
    auto state = std::make_unique<unwind_state>();
    walked = {&memory, tables.blocks};
    state->ip = input.ip;
    state->sp = input.sp;
    state->bp = input.bp;
    state->is_exact = input.isLeaf;
    if (input.registers != nullptr) {
        memcpy(state->registers, input.registers, sizeof state->registers);
    }
    state->list = tables.list;
    if (unwind_begin(state.get())) {
        while (unwind_step(state.get())) {
        }
    }
    walked = {};
    WalkResult result;
    result.addresses.assign(state->addresses, state->addresses + state->depth);
    result.end = static_cast<unwind_end>(state->end);
    result.ip = state->ip;
    result.sp = state->sp;
    result.bp = state->bp;
    return result;
}

void TableImage::map(unwind_mapping mapping, const UnwindTable *table) {
    if (mapping.kind == UNWIND_MAPPING_TABLE) {
        Place place = table != nullptr ? copy(*table) : Place{0, 0};
        mapping.pages = place.pages;
        mapping.page_count = place.pageCount;
    }
    auto after = std::upper_bound(mappings_.begin(), mappings_.end(), mapping,
                                  [](const auto &a, const auto &b) { return a.start < b.start; });
    mappings_.insert(after, mapping);
    isListed_ = false;
}

WalkTables TableImage::tables() {
    if (!isListed_) {
        size_t count = std::min<size_t>(mappings_.size(), UNWIND_MAX_MAPPINGS);
        uint32_t place = take(std::max<size_t>(count, 1) * sizeof(unwind_mapping));
        std::copy_n(mappings_.data(), count, reinterpret_cast<unwind_mapping *>(at(place)));
        list_ = static_cast<uint64_t>(place) << 32 | count;
        isListed_ = true;
    }
    return {bases_, list_};
}

void TableImage::startNext() {
    mappings_.clear();
    isListed_ = false;
}

/** At most a block's size. */
uint32_t TableImage::take(size_t sizeBytes) {
    sizeBytes = (sizeBytes + UNWIND_UNIT - 1) / UNWIND_UNIT * UNWIND_UNIT;
    if (usedBytes_ + sizeBytes > UNWIND_BLOCK_BYTES) {
        blocks_.push_back(std::make_unique<uint8_t[]>(UNWIND_BLOCK_BYTES));
        bases_.push_back(blocks_.back().get());
        usedBytes_ = 0;
    }
    uint32_t place = static_cast<uint32_t>((blocks_.size() - 1) << 16 | usedBytes_ / UNWIND_UNIT);
    usedBytes_ += sizeBytes;
    return place;
}

uint8_t *TableImage::at(uint32_t place) {
    return blocks_[place >> 16].get() + static_cast<size_t>(place & 0xffff) * UNWIND_UNIT;
}

TableImage::Place TableImage::copy(const UnwindTable &table) {
    auto known = copied_.find(&table);
    if (known != copied_.end()) {
        return known->second;
    }
    // The list of pages stands in one block; what lies beyond has no rules then.
    size_t count = std::min<size_t>(table.pages.size(), UNWIND_BLOCK_BYTES / sizeof(unwind_page));
    std::vector<unwind_page> pages(table.pages.begin(), table.pages.begin() + static_cast<ptrdiff_t>(count));
    for (unwind_page &page : pages) {
        size_t bytes = unwindPageBytes(page);
        size_t from = static_cast<size_t>(page.place) * UNWIND_UNIT;
        if (bytes == 0 || bytes > UNWIND_BLOCK_BYTES || from + bytes > table.bytes.size()) {
            page.row_count = 0;
            continue;
        }
        page.place = take(bytes);
        memcpy(at(page.place), table.bytes.data() + from, bytes);
    }
    Place place{take(std::max<size_t>(count, 1) * sizeof(unwind_page)), static_cast<uint16_t>(count)};
    std::copy_n(pages.data(), count, reinterpret_cast<unwind_page *>(at(place.pages)));
    copied_.emplace(&table, place);
    return place;
}

} // namespace hotspan::unwind
