// Blocks, lists of mappings and processes against simple models of them, with random work from one fixed seed.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/perf_event.h>
#include <map>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../check.h"
#include "symbols/clock.h"
#include "unwind/process-lists.h"

using namespace hotspan::unwind;
using hotspan::symbols::monotonicNs;

namespace {

uint64_t testNs = 1;
uint64_t testClock() {
    return testNs;
}

/** Memory for blocks, which also sees that each is closed once and a grace period after it was hidden. */
class MemoryBlocks : public BlockSource {
  public:
    ~MemoryBlocks() override { CHECK(memory_.empty()); }
    uint8_t *open(uint32_t number) override {
        if (mayOpen) {
            CHECK(!memory_.contains(number));
            memory_[number].assign(UNWIND_BLOCK_BYTES, 0);
            return memory_[number].data();
        }
        return nullptr;
    }
    void hide(uint32_t number) override {
        CHECK(memory_.contains(number) && hidden_.insert(number).second);
        hiddenNs_[number] = testNs;
    }
    void close(uint32_t number) override {
        CHECK(hidden_.erase(number) == 1 && memory_.erase(number) == 1);
        CHECK(isEnding || testNs >= hiddenNs_[number] + graceNs);
    }
    bool mayOpen = true;
    bool isEnding = false;

  private:
    std::map<uint32_t, std::vector<uint8_t>> memory_;
    std::map<uint32_t, uint64_t> hiddenNs_;
    std::set<uint32_t> hidden_;
};

struct Piece {
    Room room;
    uint8_t mark;
};

void checkPiece(BlockArena &arena, const Piece &piece) {
    const uint8_t *data = arena.data(piece.room);
    for (uint32_t i = 0; i < piece.room.sizeBytes; i += 61) {
        CHECK(data[i] == piece.mark);
    }
}

/** Pieces never overlap, are not used again before their grace is over, and all room comes back. */
void testArena() {
    MemoryBlocks blocks;
    {
        constexpr size_t maxBytes = 8 * UNWIND_BLOCK_BYTES;
        BlockArena arena(blocks, maxBytes, testClock);
        std::vector<Piece> pieces;
        std::map<uint64_t, std::vector<Piece>> given;
        size_t refused = 0;
        for (int round = 0; round < 20'000; round++) {
            testNs += below(graceNs / 20);
            if (below(2) == 0 || pieces.empty()) {
                auto size = static_cast<uint32_t>(below(8) == 0 ? 1 + below(UNWIND_BLOCK_BYTES) : 1 + below(4096));
                std::optional<Room> room = arena.take(size);
                refused += room ? 0 : 1;
                if (room) {
                    CHECK(room->sizeBytes >= size && room->offset % UNWIND_UNIT == 0);
                    CHECK(room->offset + room->sizeBytes <= UNWIND_BLOCK_BYTES);
                    CHECK(room->place() == (room->block << 16 | room->offset / UNWIND_UNIT));
                    pieces.push_back({*room, static_cast<uint8_t>(random64())});
                    memset(arena.data(*room), pieces.back().mark, room->sizeBytes);
                }
            } else {
                size_t index = below(pieces.size());
                checkPiece(arena, pieces[index]);
                arena.give(pieces[index].room);
                given[testNs].push_back(pieces[index]);
                pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(index));
            }
            // What was given back lately still holds what readers may be reading.
            std::erase_if(given, [](const auto &entry) { return entry.first + graceNs <= testNs; });
            if (round % 16 == 0) {
                for (const auto &[when, group] : given) {
                    for (const Piece &piece : group) {
                        checkPiece(arena, piece);
                    }
                }
            }
            CHECK(arena.blockBytes() <= maxBytes);
        }
        CHECK(refused > 0);
        for (const Piece &piece : pieces) {
            checkPiece(arena, piece);
            arena.give(piece.room);
        }
        testNs += graceNs;
        arena.collect();
        CHECK(arena.usedBytes() == 0 && arena.graceBytes() == 0);
        testNs += graceNs;
        arena.collect();
        CHECK(arena.blockBytes() == UNWIND_BLOCK_BYTES);
        CHECK(!arena.take(UNWIND_BLOCK_BYTES + 1));
        blocks.mayOpen = false;
        CHECK(arena.take(UNWIND_BLOCK_BYTES) && !arena.take(8));
        blocks.isEnding = true;
    }
}

/** Mappings as a plain array of pages says. */
void testRanges() {
    MemoryBlocks blocks;
    {
        BlockArena arena(blocks, UNWIND_BLOCK_BYTES, testClock);
        constexpr uint64_t pages = 200;
        std::vector<std::shared_ptr<CodeFile>> files = {nullptr, std::make_shared<CodeFile>(),
                                                        std::make_shared<CodeFile>()};
        for (int round = 0; round < 200; round++) {
            MappingList list(arena);
            std::map<uint64_t, std::pair<CodeFile *, uint64_t>> model;
            for (int step = 0; step < 60; step++) {
                uint64_t start = below(pages), count = 1 + below(20), offset = below(4) == 0 ? start : below(50);
                const std::shared_ptr<CodeFile> &file = files[below(files.size())];
                list.add({start * 4096, (start + count) * 4096, offset * 4096, file});
                for (uint64_t page = start; page < start + count; page++) {
                    model[page] = {file.get(), file ? offset + page - start : 0};
                }
            }
            for (uint64_t page = 0; page < pages + 20; page++) {
                const CodeRange *range = list.find(page * 4096 + below(4096));
                CHECK((range != nullptr) == model.contains(page));
                if (range != nullptr) {
                    CHECK(range->file.get() == model[page].first);
                    CHECK(!range->file || range->fileOffset / 4096 + page - range->start / 4096 == model[page].second);
                }
            }
            for (size_t i = 1; i < list.ranges().size(); i++) {
                CHECK(list.ranges()[i - 1].end <= list.ranges()[i].start);
            }
            size_t before = list.ranges().size();
            for (CodeRange range : std::vector(list.ranges())) {
                CHECK(!list.add(range));
            }
            CHECK(list.ranges().size() == before);
        }
        MappingList many(arena);
        for (uint64_t i = 0; i < 2 * UNWIND_MAX_MAPPINGS; i++) {
            many.add({i * 8192, i * 8192 + 4096, 0, nullptr});
        }
        CHECK(many.ranges().size() == UNWIND_MAX_MAPPINGS && many.isTruncated() && many.isStale());
        blocks.isEnding = true;
    }
}

class Publications : public ListPublisher {
  public:
    bool publish(int pid, uint64_t word) override {
        if (words.size() >= room && !words.contains(pid)) {
            return false;
        }
        words[pid] = word;
        return true;
    }
    void remove(int pid) override { words.erase(pid); }
    std::map<int, uint64_t> words;
    size_t room = SIZE_MAX;
};

struct World {
    MemoryBlocks blocks;
    BlockArena arena{blocks, 16 * UNWIND_BLOCK_BYTES, testClock};
    Publications programs;
    std::vector<std::shared_ptr<CodeFile>> newFiles;
    ProcessLists lists{arena, programs, [this](std::shared_ptr<CodeFile> file) { newFiles.push_back(file); }};
    ~World() { blocks.isEnding = true; }

    /** As a program reads it: the list's word, its place, its mappings. */
    const unwind_mapping *mappingOf(int pid, uint64_t address) {
        if (!programs.words.contains(pid)) {
            return nullptr;
        }
        uint64_t word = programs.words[pid];
        const uint8_t *block = arena.bases()[word >> 48];
        CHECK(block != nullptr);
        auto *mappings = reinterpret_cast<const unwind_mapping *>(block + (word >> 32 & 0xffff) * UNWIND_UNIT);
        for (uint32_t i = 0; i < static_cast<uint32_t>(word); i++) {
            if (mappings[i].start <= address && address < mappings[i].end) {
                return &mappings[i];
            }
        }
        return nullptr;
    }
    void settle() {
        testNs += graceNs;
        lists.tick(testNs);
        while (lists.publish(testNs)) {
            testNs += graceNs;
        }
    }
};

ProcessEvent event(ProcessEvent::Type type, int pid, int parentPid = 0) {
    ProcessEvent made;
    made.type = type;
    made.timeNs = testNs;
    made.pid = pid;
    made.parentPid = parentPid;
    return made;
}

ProcessEvent mapEvent(int pid, uint64_t start, const char *path, uint64_t inode = 0) {
    ProcessEvent made = event(ProcessEvent::Type::map, pid);
    made.start = start;
    made.end = start + 0x1000;
    made.path = path;
    made.inode = inode;
    return made;
}

// Above what the kernel gives out: nothing is there to be read of them.
constexpr int parent = 5'000'001, child = 5'000'002;

/** A table that comes and goes is seen by all that have its file mapped. */
void testTables() {
    World world;
    ProcessLists &lists = world.lists;
    lists.take(parent, {}, testNs);
    lists.apply(mapEvent(parent, 0x8000, "/nowhere/library.so", 7));
    lists.apply(event(ProcessEvent::Type::fork, child, parent));
    world.settle();
    auto table = std::make_shared<PlacedTable>();
    std::shared_ptr<CodeFile> library = world.newFiles[0];
    library->isRead = true;
    library->table = table;
    table->state = PlacedTable::State::ready;
    table->rooms.push_back(*world.arena.take(64));
    table->pages = table->rooms[0].place();
    table->pageCount = 3;
    table->firstPage = 2;
    lists.tableReady(*table);
    world.settle();
    const unwind_mapping *mapping = world.mappingOf(parent, 0x8000);
    CHECK(mapping->kind == UNWIND_MAPPING_TABLE && mapping->pages == table->pages && mapping->page_count == 3);
    CHECK(mapping->bias == 0x8000 + (2ULL << UNWIND_PAGE_SHIFT));
    table->state = PlacedTable::State::noRoom;
    lists.tableEvicted(*table, table->rooms);
    lists.publish(testNs);
    CHECK(world.mappingOf(parent, 0x8000)->kind == UNWIND_MAPPING_NO_ROOM);
    CHECK(world.mappingOf(child, 0x8000)->kind == UNWIND_MAPPING_NO_ROOM);
}

void testLife() {
    World world;
    ProcessLists &lists = world.lists;
    lists.take(parent, {}, testNs);
    lists.apply(mapEvent(parent, 0x1000, "//anon"));
    lists.apply(mapEvent(parent, 0x8000, "/nowhere/library.so", 7));
    world.settle();
    CHECK(world.mappingOf(parent, 0x1000)->kind == UNWIND_MAPPING_JIT);
    CHECK(world.mappingOf(parent, 0x8fff)->kind == UNWIND_MAPPING_PENDING && world.newFiles.size() == 1);
    CHECK(world.mappingOf(parent, 0x9000) == nullptr);

    // A child sees what its parent has, and is not seen in it.
    lists.apply(event(ProcessEvent::Type::fork, child, parent));
    world.settle();
    CHECK(world.programs.words[child] == world.programs.words[parent]);
    lists.apply(mapEvent(child, 0x20000, "//anon"));
    world.settle();
    CHECK(world.mappingOf(child, 0x20000) != nullptr && world.mappingOf(parent, 0x20000) == nullptr);
    CHECK(world.mappingOf(child, 0x8000) != nullptr);

    // exec leaves nothing of before, but what was is known for a while.
    uint64_t beforeExec = testNs;
    testNs += 1000;
    lists.apply(event(ProcessEvent::Type::exec, child));
    lists.apply(mapEvent(child, 0x40000, "/nowhere/program", 8));
    world.settle();
    CHECK(world.mappingOf(child, 0x8000) == nullptr && world.mappingOf(child, 0x40000) != nullptr);
    CHECK(lists.listAt(child, beforeExec)->find(0x8000) != nullptr);
    CHECK(lists.listAt(child, testNs)->find(0x8000) == nullptr);

    // The end: hidden at once, forgotten after a while, and the pid may be another's.
    lists.apply(event(ProcessEvent::Type::exit, child));
    CHECK(!world.programs.words.contains(child) && lists.listAt(child, testNs) != nullptr);
    lists.apply(event(ProcessEvent::Type::fork, child, parent));
    world.settle();
    CHECK(world.mappingOf(child, 0x8000) != nullptr);
    lists.apply(event(ProcessEvent::Type::exit, child));
    lists.apply(event(ProcessEvent::Type::exit, parent));
    testNs += 10'000'000'000;
    world.settle();
    CHECK(lists.size() == 0 && world.programs.words.empty());
    world.newFiles.clear();
    testNs += graceNs;
    world.arena.collect();
    CHECK(world.arena.usedBytes() == 0);
}

/** What one process can make us hold and do is bounded. */
void testHostile() {
    World world;
    ProcessLists &lists = world.lists;
    world.programs.room = 100;
    lists.take(parent, {}, testNs);
    for (uint64_t i = 0; i < 300'000; i++) {
        testNs += 1000;
        std::string path = "/hostile/" + std::string(4000, 'x') + std::to_string(i);
        lists.apply(mapEvent(parent, 0x1000 + i * 0x2000, path.c_str(), i + 1));
        if (i % 1000 == 0) {
            lists.publish(testNs);
        }
    }
    CHECK(lists.listAt(parent, testNs)->ranges().size() <= UNWIND_MAX_MAPPINGS);
    CHECK(lists.files().size() < 20'000 && world.arena.blockBytes() <= 16 * UNWIND_BLOCK_BYTES);
    for (int i = 0; i < 100'000; i++) {
        testNs += 1000;
        lists.apply(event(ProcessEvent::Type::fork, child + i, parent));
        if (i % 2 == 0) {
            lists.apply(event(ProcessEvent::Type::exit, child + i));
        }
        if (i % 5000 == 0) {
            lists.publish(testNs);
        }
    }
    lists.publish(testNs);
    CHECK(lists.size() <= 32'768 && world.programs.words.size() <= 100 && lists.unpublished() > 0);
}

/** Records as the kernel writes them, whole, cut short and random. */
void testRecords() {
    ProcessEvent parsed;
    std::vector<uint8_t> body;
    auto put = [&body](auto value) {
        const auto *bytes = reinterpret_cast<const uint8_t *>(&value);
        body.insert(body.end(), bytes, bytes + sizeof value);
    };
    put(7), put(7), put(uint64_t{0x1000}), put(uint64_t{0x2000}), put(uint64_t{0x3000});
    put(8), put(1), put(uint64_t{42}), put(uint64_t{0}), put(5), put(2);
    for (char c : std::string("/lib/x.so\0\0\0\0\0\0\0", 16)) {
        put(c);
    }
    put(uint64_t{99});
    CHECK(parseProcessEvent(PERF_RECORD_MMAP2, 0, body.data(), body.size(), parsed));
    CHECK(parsed.pid == 7 && parsed.start == 0x1000 && parsed.end == 0x3000 && parsed.fileOffset == 0x3000);
    CHECK(parsed.inode == 42 && parsed.deviceMajor == 8 && parsed.path == "/lib/x.so" && parsed.timeNs == 99);
    for (int i = 0; i < 200'000; i++) {
        std::vector<uint8_t> random(body.begin(), body.begin() + static_cast<ptrdiff_t>(below(body.size() + 1)));
        for (uint64_t n = below(8); n > 0 && !random.empty(); n--) {
            random[below(random.size())] = static_cast<uint8_t>(random64());
        }
        ProcessEvent any;
        parseProcessEvent(static_cast<uint32_t>(below(12)), static_cast<uint16_t>(random64()), random.data(),
                          random.size(), any);
    }
}

/** A real process, read from /proc: the file of this program is found and can be opened later. */
void testRealProcess() {
    World world;
    CHECK(world.lists.read(getpid()));
    world.settle();
    auto address = reinterpret_cast<uint64_t>(&testRealProcess);
    const unwind_mapping *mapping = world.mappingOf(getpid(), address);
    CHECK(mapping != nullptr && mapping->kind == UNWIND_MAPPING_PENDING);
    const CodeRange *range = world.lists.listAt(getpid(), testNs)->find(address);
    CHECK(range->file && range->file->key && range->file->location);
    CHECK(!world.lists.read(getpid()));
}

} // namespace

int main() {
    testArena();
    testRanges();
    testTables();
    testLife();
    testHostile();
    testRecords();
    testRealProcess();
    printf("all parts passed\n");
}
