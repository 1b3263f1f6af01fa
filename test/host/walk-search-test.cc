// The walk's searches in tables and lists, against plain look-ups, and walks over nonsense; see walk-test.cc.
#include "walk-test.h"

// ---- Searches, against the plain look-up in the table.

void testSearch() {
    for (int round = 0; round < 30; round++) {
        TableWriter writer;
        uint64_t address = below(3) == 0 ? 0 : below(200'000);
        uint32_t rows = 1 + static_cast<uint32_t>(below(round % 3 == 0 ? 6000 : 300)), kinds = round % 2 ? 2000 : 100;
        uint64_t step = 1 + below(200);
        for (uint32_t i = 0; i < rows; i++) {
            writer.add(static_cast<uint32_t>(address),
                       below(10) == 0 ? static_cast<uint32_t>(UNWIND_CFA_NONE)
                                      : rule(UNWIND_CFA_SP, 8 * static_cast<int64_t>(1 + below(kinds))));
            address += 1 + below(step);
        }
        writer.add(static_cast<uint32_t>(address), UNWIND_CFA_NONE);
        UnwindTable table = writer.finish();
        TableImage image;
        unwind_mapping mapping{};
        mapping.start = mapping.bias = codeStart;
        mapping.end = codeStart + 0x1000000;
        image.map(mapping, &table);
        // The word that a rule leads to tells which it was.
        std::vector<uint64_t> stack(kinds + 2);
        for (size_t i = 0; i < stack.size(); i++) {
            stack[i] = 0x1000 + i;
        }
        CopiedMemory memory(stackStart, {reinterpret_cast<const uint8_t *>(stack.data()), stack.size() * 8});
        for (int i = 0; i < 3000; i++) {
            uint64_t elf = below(address + 100);
            uint32_t wanted = unwindRuleAt(table, elf);
            WalkResult result = walkUser({codeStart + elf, stackStart, 0}, memory, image.tables());
            if (unwind_rule_cfa(wanted) == UNWIND_CFA_NONE) {
                CHECK(result.addresses.size() == 1 && result.end == UNWIND_END_NO_RULE);
            } else {
                CHECK(result.addresses[1] == 0x1000 + static_cast<uint64_t>(unwind_rule_offset(wanted)) / 8 - 1);
            }
        }
    }
}

void testManyMappings() {
    for (size_t count : {1, 2, 3, 7, 1000, UNWIND_MAX_MAPPINGS}) {
        TableImage image;
        for (size_t i = 0; i < count; i++) {
            image.map(otherMapping(codeStart + i * 0x2000, UNWIND_MAPPING_PENDING));
        }
        // In every process's list the last, in the other half of addresses.
        if (count < UNWIND_MAX_MAPPINGS) {
            image.map(otherMapping(0xffffffffff600000, UNWIND_MAPPING_JIT));
        }
        CopiedMemory memory(stackStart, {});
        for (size_t i = 0; i < count; i++) {
            uint64_t start = codeStart + i * 0x2000;
            CHECK(walkUser({start, stackStart, 0}, memory, image.tables()).end == UNWIND_END_NO_TABLE);
            CHECK(walkUser({start + 0xfff, stackStart, 0}, memory, image.tables()).end == UNWIND_END_NO_TABLE);
            CHECK(walkUser({start + 0x1000, stackStart, 0}, memory, image.tables()).end == UNWIND_END_NO_MAPPING);
        }
        CHECK(walkUser({codeStart - 1, stackStart, 0}, memory, image.tables()).end == UNWIND_END_NO_MAPPING);
    }
    CopiedMemory memory(stackStart, {});
    CHECK(walkUser({codeStart, stackStart, 0}, memory, {}).end == UNWIND_END_NO_MAPPING);
}

// ---- Nonsense.

namespace {

/** Numbers near those that lead somewhere. */
uint64_t likely() {
    const uint64_t bases[] = {codeStart,  codeStart,  codeStart, codeStart,
                              stackStart, stackStart, 0,         UINT64_MAX - 0x8000};
    return bases[below(std::size(bases))] + (below(0x8000) & ~(below(2) ? 7ULL : 0ULL));
}

/** Mostly of a form that there is, with a small offset. */
uint32_t likelyRule() {
    return below(4) ? rule(static_cast<uint32_t>(below(15)), static_cast<int64_t>(below(64)) * 8 - 32,
                           static_cast<uint32_t>(below(4)), -8 * static_cast<int64_t>(below(6)))
                    : static_cast<uint32_t>(random64());
}

} // namespace

/** Blocks and stacks of random words: a walk ends, within its bounds, whatever it reads. */
void testNonsense() {
    constexpr size_t words = UNWIND_BLOCK_BYTES / 8;
    std::vector<std::vector<uint64_t>> blocks(3, std::vector<uint64_t>(words));
    std::vector<const uint8_t *> bases;
    for (std::vector<uint64_t> &block : blocks) {
        bases.push_back(reinterpret_cast<const uint8_t *>(block.data()));
    }
    bases.push_back(nullptr);
    std::vector<uint64_t> stack(stackWords);
    CopiedMemory memory(stackStart, {reinterpret_cast<const uint8_t *>(stack.data()), stack.size() * 8});
    size_t ends[16] = {}, longest = 0;
    for (int round = 0; round < 100; round++) {
        // Mappings, pages and rules in one block each, and pages that mostly lead to the rules.
        for (size_t i = 0; i < words; i++) {
            blocks[0][i] = random64();
            unwind_page page{static_cast<uint32_t>((below(8) ? 2 : below(5)) << 16 | below(0x10000)),
                             static_cast<uint16_t>(below(400)), static_cast<uint16_t>(below(600))};
            memcpy(&blocks[1][i], &page, sizeof page);
            blocks[2][i] = static_cast<uint64_t>(likelyRule()) << 32 | likelyRule();
        }
        for (uint64_t &word : stack) {
            word = likely();
        }
        // A list that holds, of mappings that lead into the nonsense.
        auto *mappings = reinterpret_cast<unwind_mapping *>(blocks[0].data());
        for (uint64_t i = 0; i < 16; i++) {
            mappings[i].start = codeStart + i * 0x1000;
            mappings[i].end = mappings[i].start + 0x1000;
            mappings[i].bias = codeStart - below(1 << 20);
            mappings[i].pages = static_cast<uint32_t>((below(8) ? 1 : below(5)) << 16 | below(0x10000));
            mappings[i].page_count = static_cast<uint16_t>(random64());
            mappings[i].kind = static_cast<uint8_t>(below(8) ? 0 : below(6));
        }
        for (int i = 0; i < 1000; i++) {
            uint64_t registers[16];
            for (uint64_t &value : registers) {
                value = likely();
            }
            uint64_t list = below(4) ? 16 : random64();
            WalkResult result =
                walkUser({likely(), likely(), likely(), registers, below(2) == 0}, memory, {bases, list});
            CHECK(result.addresses.size() <= UNWIND_MAX_FRAMES && result.end <= UNWIND_END_FRAME_POINTER);
            ends[result.end]++;
            longest = std::max(longest, result.addresses.size());
        }
    }
    printf("nonsense: the longest walk had %zu frames; ends:", longest);
    for (size_t count : ends) {
        printf(" %zu", count);
    }
    printf("\n");
    // Else the nonsense was stopped at the door, and little was tried.
    CHECK(longest > 3);
    for (unwind_end end : {UNWIND_END_ROOT, UNWIND_END_NO_MAPPING, UNWIND_END_NO_TABLE, UNWIND_END_NO_RULE,
                           UNWIND_END_UNSUPPORTED, UNWIND_END_UNREADABLE, UNWIND_END_BAD_FRAME}) {
        CHECK(ends[end] > 0);
    }
}
