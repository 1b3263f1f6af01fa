/** Placing and evicting of tables. */
#include "table-store.h"

#include <algorithm>
#include <cstring>

#include "../symbols/clock.h"

namespace hotspan::unwind {
namespace {

// Pages are put together up to this size, so that a table is few pieces and the blocks' last corners are used too.
constexpr size_t chunkBytes = 32U << 10;
// More would not fit into one block; 2 GiB of code.
constexpr uint32_t maxPages = UNWIND_BLOCK_BYTES / sizeof(unwind_page);
// Of the room, one part in so many is for lists of mappings alone: 4 MiB of 32, or 13,000 lists of ten.
constexpr size_t listShareDivisor = 8;
// Two sets of tables that do not fit at the same time must not push each other out at every sample.
constexpr uint32_t keepUsedSeconds = 10;
constexpr size_t maxUnusedTables = 4096;

size_t roundedBytes(const unwind_page &page) {
    return (unwindPageBytes(page) + UNWIND_UNIT - 1) / UNWIND_UNIT * UNWIND_UNIT;
}

} // namespace

std::shared_ptr<PlacedTable> TableStore::of(const std::string &key) {
    std::shared_ptr<PlacedTable> &table = tables_[key];
    if (!table) {
        table = std::make_shared<PlacedTable>();
        table->key = key;
    }
    return table;
}

void TableStore::giveUp(PlacedTable &placed) {
    for (const Room &room : placed.rooms) {
        arena_.cancel(room);
    }
    placed.rooms.clear();
    placed.sizeBytes = 0;
    placed.rowCount = 0;
}

bool TableStore::placeChunk(PlacedTable &placed, const UnwindTable &table, uint32_t begin, uint32_t end) {
    size_t sizeBytes = 0;
    for (uint32_t i = begin; i < end; i++) {
        sizeBytes += roundedBytes(table.pages[i]);
    }
    if (sizeBytes == 0) {
        return true;
    }
    std::optional<Room> room = arena_.take(static_cast<uint32_t>(sizeBytes));
    if (!room) {
        return false;
    }
    placed.rooms.push_back(*room);
    placed.sizeBytes += room->sizeBytes;
    auto *pages = reinterpret_cast<unwind_page *>(arena_.data(placed.rooms[0]));
    uint32_t offset = 0;
    for (uint32_t i = begin; i < end; i++) {
        const unwind_page &page = table.pages[i];
        if (page.row_count == 0) {
            continue;
        }
        memcpy(arena_.data(*room) + offset, table.bytes.data() + size_t{page.place} * UNWIND_UNIT,
               unwindPageBytes(page));
        unwind_page &to = pages[i - placed.firstPage];
        to = page;
        to.place = room->block << 16 | (room->offset + offset) / UNWIND_UNIT;
        offset += static_cast<uint32_t>(roundedBytes(page));
        placed.rowCount += page.row_count;
    }
    return true;
}

bool TableStore::place(PlacedTable &placed, const UnwindTable &table) {
    // A part is left to the lists: without its list a process is not unwound at all.
    if (arena_.usedBytes() + table.bytes.size() > arena_.maxBytes() - arena_.maxBytes() / listShareDivisor) {
        return false;
    }
    auto hasRows = [](const unwind_page &page) { return page.row_count != 0; };
    auto first = std::find_if(table.pages.begin(), table.pages.end(), hasRows);
    auto last = std::find_if(table.pages.rbegin(), table.pages.rend(), hasRows).base();
    if (first == table.pages.end()) {
        setState(placed, PlacedTable::State::none);
        return true;
    }
    placed.firstPage = static_cast<uint32_t>(first - table.pages.begin());
    placed.pageCount = std::min(static_cast<uint32_t>(last - first), maxPages);
    std::optional<Room> room = arena_.take(placed.pageCount * static_cast<uint32_t>(sizeof(unwind_page)));
    if (!room) {
        return false;
    }
    placed.rooms.push_back(*room);
    placed.sizeBytes = room->sizeBytes;
    placed.pages = room->place();
    memset(arena_.data(*room), 0, room->sizeBytes);
    uint32_t end = placed.firstPage + placed.pageCount;
    for (uint32_t begin = placed.firstPage; begin < end;) {
        uint32_t next = begin + 1;
        for (size_t sizeBytes = roundedBytes(table.pages[begin]); next < end; next++) {
            sizeBytes += roundedBytes(table.pages[next]);
            if (sizeBytes > chunkBytes) {
                break;
            }
        }
        if (!placeChunk(placed, table, begin, next)) {
            giveUp(placed);
            return false;
        }
        begin = next;
    }
    setState(placed, PlacedTable::State::ready);
    return true;
}

void TableStore::setState(PlacedTable &placed, PlacedTable::State state) {
    placed.state = state;
    lists_.tableReady(placed);
}

bool TableStore::evict(size_t sizeBytes, bool isWanted) {
    auto now = static_cast<uint32_t>(symbols::coarseNs() / symbols::nsPerS);
    std::unordered_map<const PlacedTable *, uint32_t> used;
    lists_.forEach([&](int pid, const MappingList &list) {
        uint32_t seconds = marks_.lastSeconds(pid);
        for (const CodeRange &range : list.ranges()) {
            if (range.file && range.file->table) {
                uint32_t &latest = used[range.file->table.get()];
                latest = std::max(latest, seconds);
            }
        }
    });
    std::vector<std::pair<uint64_t, PlacedTable *>> candidates;
    size_t freeBytes = 0;
    for (const auto &[key, table] : tables_) {
        auto use = used.find(table.get());
        bool isMapped = use != used.end();
        if (table->state != PlacedTable::State::ready ||
            (isMapped && (!isWanted || use->second + keepUsedSeconds > now))) {
            continue;
        }
        candidates.emplace_back(isMapped ? uint64_t{use->second} + 1 : 0, table.get());
        freeBytes += table->sizeBytes;
    }
    // A little more, because what becomes free is in pieces.
    size_t wantedBytes = sizeBytes + sizeBytes / 4;
    if (freeBytes < wantedBytes) {
        return false;
    }
    std::sort(candidates.begin(), candidates.end());
    for (size_t done = 0, i = 0; done < wantedBytes && i < candidates.size(); i++) {
        PlacedTable &table = *candidates[i].second;
        done += table.sizeBytes;
        table.state = PlacedTable::State::noRoom;
        lists_.tableEvicted(table, table.rooms);
        table.rooms.clear();
        table.sizeBytes = 0;
        table.rowCount = 0;
        evictions_++;
    }
    return true;
}

void TableStore::forgetUnused() {
    if (tables_.size() <= maxUnusedTables) {
        return;
    }
    std::erase_if(tables_, [](const auto &entry) {
        return entry.second.use_count() == 1 && entry.second->state != PlacedTable::State::ready;
    });
}

TableTotals TableStore::totals() const {
    TableTotals totals{0, 0, 0, evictions_, refusals_};
    for (const auto &[key, table] : tables_) {
        totals.tables += table->state == PlacedTable::State::ready ? 1 : 0;
        totals.rows += table->rowCount;
        totals.bytes += table->sizeBytes;
    }
    return totals;
}

} // namespace hotspan::unwind
