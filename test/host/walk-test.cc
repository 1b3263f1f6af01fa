// The walk of bpf/lib/unwind-step.h over stacks and tables made by hand: every rule, every way to end, and nonsense.
#include "walk-test.h"

namespace {

/** A process of one file, whose functions have 256 bytes and one rule each, and one stack. */
class Process {
  public:
    /** Gives its address. */
    uint64_t add(uint32_t functionRule) {
        rules_.push_back(functionRule);
        return codeStart + 256 * (rules_.size() - 1);
    }
    uint64_t &word(uint64_t address) { return stack_[(address - stackStart) / 8]; }
    static uint64_t at(size_t index) { return stackStart + 8 * index; }

    WalkResult walk(const WalkInput &input, uint8_t kind = UNWIND_MAPPING_TABLE) {
        TableWriter writer;
        for (size_t i = 0; i < rules_.size(); i++) {
            writer.add(static_cast<uint32_t>(256 * i), rules_[i]);
        }
        writer.add(static_cast<uint32_t>(256 * rules_.size()), UNWIND_CFA_NONE);
        UnwindTable table = writer.finish();
        TableImage image;
        unwind_mapping mapping{};
        mapping.start = mapping.bias = codeStart;
        mapping.end = codeStart + 0x10000;
        mapping.kind = kind;
        image.map(mapping, &table);
        for (const unwind_mapping &other : others) {
            image.map(other);
        }
        CopiedMemory memory(stackStart, {reinterpret_cast<const uint8_t *>(stack_.data()), stack_.size() * 8});
        return walkUser(input, memory, image.tables());
    }

    std::vector<unwind_mapping> others;

  private:
    std::vector<uint32_t> rules_;
    std::vector<uint64_t> stack_ = std::vector<uint64_t>(stackWords);
};

using Addresses = std::vector<uint64_t>;

// ---- Rules.

void testStackPointer() {
    Process process;
    uint64_t leaf = process.add(rule(UNWIND_CFA_SP, 8)),
             middle = process.add(rule(UNWIND_CFA_SP, 32, UNWIND_BP_AT_CFA, -16)),
             low = process.add(rule(UNWIND_CFA_BP, 16, UNWIND_BP_AT_CFA, -16)), root = process.add(UNWIND_CFA_END);
    process.word(process.at(10)) = middle + 5;
    // CFA of middle is 15: its return address at 14, the caller's rbp at 13.
    process.word(process.at(14)) = low + 7;
    process.word(process.at(13)) = process.at(40);
    process.word(process.at(41)) = root + 9;
    process.word(process.at(40)) = 77;
    WalkResult result = process.walk({leaf, process.at(10), 1234});
    CHECK((result.addresses == Addresses{leaf, middle + 5, low + 7, root + 9}));
    CHECK(result.end == UNWIND_END_ROOT && result.sp == process.at(42) && result.bp == 77);
    // Saved elsewhere than beside the return address.
    Process apart;
    uint64_t saver = apart.add(rule(UNWIND_CFA_SP, 48, UNWIND_BP_AT_CFA, -32));
    root = apart.add(UNWIND_CFA_END);
    apart.word(apart.at(5)) = root + 1;
    apart.word(apart.at(2)) = 99;
    CHECK(apart.walk({saver, apart.at(0), 1234}).bp == 99);
}

/** In an epilogue: rbp was popped, and the memory below rsp is not in a copy of the stack. */
void testPopped() {
    for (int64_t place : {-16, -24}) {
        Process process;
        uint64_t leaf = process.add(rule(UNWIND_CFA_SP, 8, UNWIND_BP_AT_CFA, place)),
                 root = process.add(UNWIND_CFA_END);
        process.word(process.at(0)) = root + 1;
        WalkResult result = process.walk({leaf, process.at(0), 4321});
        CHECK((result.addresses == Addresses{leaf, root + 1}) && result.bp == 4321);
    }
}

/** A call as a function's last instruction: the return address is the next function's, the frame is not. */
void testEdges() {
    Process process;
    uint64_t caller = process.add(rule(UNWIND_CFA_SP, 16)), next = process.add(UNWIND_CFA_UNKNOWN),
             root = process.add(UNWIND_CFA_END);
    process.word(process.at(3)) = root + 1;
    CHECK(process.walk({next, process.at(2), 0, nullptr, false}).end == UNWIND_END_ROOT);
    CHECK(process.walk({next, process.at(2), 0, nullptr, true}).end == UNWIND_END_UNSUPPORTED);
    CHECK(process.walk({caller, process.at(2), 0, nullptr, true}).end == UNWIND_END_ROOT);
}

void testDereferences() {
    struct Case {
        uint32_t cfa;
        uint64_t added;
        bool isBp;
    };
    for (const Case &one : {Case{UNWIND_CFA_DEREF_SP, 0, false}, Case{UNWIND_CFA_DEREF_BP, 0, true},
                            Case{UNWIND_CFA_DEREF_SP8, 8, false}, Case{UNWIND_CFA_DEREF_BP8, 8, true}}) {
        Process process;
        uint64_t leaf = process.add(rule(one.cfa, one.isBp ? -16 : 24, UNWIND_BP_AT_BP, -8)),
                 root = process.add(UNWIND_CFA_END);
        process.word(process.at(one.isBp ? 18 : 13)) = process.at(100) - one.added;
        process.word(process.at(99)) = root + 1;
        process.word(process.at(19)) = 4321;
        WalkResult result = process.walk({leaf, process.at(10), process.at(20)});
        CHECK((result.addresses == Addresses{leaf, root + 1}) && result.sp == process.at(100) && result.bp == 4321);
    }
}

void testPlt() {
    Process process;
    uint64_t plt = process.add(rule(UNWIND_CFA_PLT, 11)), root = process.add(UNWIND_CFA_END);
    process.word(process.at(4)) = root + 1;
    CHECK(process.walk({plt + 16 + 10, process.at(4), 0}).addresses.back() == root + 1);
    CHECK(process.walk({plt + 16 + 11, process.at(3), 0}).addresses.back() == root + 1);
}

void testRegister() {
    Process process;
    uint64_t leaf = process.add(registerRule(10, -8)), root = process.add(UNWIND_CFA_END), registers[16] = {};
    registers[10] = process.at(31);
    process.word(process.at(29)) = root + 1;
    CHECK((process.walk({leaf, process.at(4), 0, registers}).addresses == Addresses{leaf, root + 1}));
    CHECK(process.walk({leaf + 1, process.at(4), 0, registers, false}).end == UNWIND_END_UNSUPPORTED);
}

/** A frame of a size for the far form, and a leaf that keeps its return address in rdi. */
void testRareForms() {
    Process process;
    uint64_t root = process.add(UNWIND_CFA_END), registers[16] = {},
             far = process.add(UNWIND_CFA_FAR_SP | UNWIND_BP_AT_CFA << 4 | 3U << 6 | 3000U << 10),
             leaf = process.add(UNWIND_CFA_LEAF_SP | 5U << 14 | 2U << 18);
    process.word(process.at(3009)) = registers[5] = root + 1;
    process.word(process.at(3005)) = 4321;
    CHECK(process.walk({far, process.at(10), 0}).bp == 4321 &&
          process.walk({leaf, process.at(4), 55, registers}).sp == process.at(6));
}

/** The words of a struct sigcontext from `at` on. */
void interrupt(Process &process, size_t at, uint64_t ip, uint64_t sp, uint64_t bp) {
    for (size_t i = 0; i < 17; i++) {
        process.word(process.at(at + i)) = 1000 + i;
    }
    process.word(process.at(at + 10)) = bp;
    process.word(process.at(at + 15)) = sp;
    process.word(process.at(at + 16)) = ip;
}

/** Through a signal's frame, to a place on another stack below, and on by registers that only it has. */
void testSignals() {
    Process process;
    uint64_t handler = process.add(rule(UNWIND_CFA_SP, 8)), trampoline = process.add(rule(UNWIND_CFA_SIGNAL, 40)),
             interrupted = process.add(registerRule(2, 0)), root = process.add(UNWIND_CFA_END);
    process.word(process.at(1000)) = trampoline + 1;
    interrupt(process, 1006, interrupted, process.at(10), 555);
    process.word(process.at(1006 + 14)) = process.at(30);
    process.word(process.at(29)) = root + 1;
    WalkResult result = process.walk({handler, process.at(1000), 0});
    CHECK((result.addresses == Addresses{handler, trampoline + 1, interrupted, root + 1}));
    CHECK(result.end == UNWIND_END_ROOT && result.bp == 555);
    // All registers have their DWARF numbers; rsp itself is no CFA.
    const int wordOf[16] = {13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7};
    for (uint32_t number : {0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15}) {
        Process each;
        trampoline = each.add(rule(UNWIND_CFA_SIGNAL, 40));
        interrupted = each.add(registerRule(number, 0));
        root = each.add(UNWIND_CFA_END);
        interrupt(each, 1005, interrupted, each.at(10), 555);
        each.word(each.at(1005 + static_cast<size_t>(wordOf[number]))) = each.at(31 + number);
        each.word(each.at(30 + number)) = root + 1;
        CHECK(each.walk({trampoline + 1, each.at(1000), 0, nullptr, false}).end == UNWIND_END_ROOT);
    }
}

/** As musl returns from handlers: by code without rules, known by its bytes. */
void testBareSignalReturn() {
    Process process;
    uint64_t interrupted = process.add(rule(UNWIND_CFA_SP, 8)), root = process.add(UNWIND_CFA_END);
    // The code lies on the stack here, in a mapping of its own.
    uint64_t code = stackStart + 0x7000;
    process.others.push_back(otherMapping(code - 16, UNWIND_MAPPING_FRAME_POINTER));
    const uint8_t bytes[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
    memcpy(&process.word(code), bytes, sizeof bytes);
    interrupt(process, 105, interrupted, process.at(10), 0);
    process.word(process.at(10)) = root + 1;
    WalkResult result = process.walk({code, process.at(100), 0, nullptr, false});
    CHECK((result.addresses == Addresses{code, interrupted, root + 1}) && result.end == UNWIND_END_ROOT);
}

// ---- Frame pointers.

void testFramePointers() {
    const std::pair<uint8_t, unwind_end> kinds[] = {{UNWIND_MAPPING_TABLE, UNWIND_END_NO_RULE},
                                                    {UNWIND_MAPPING_FRAME_POINTER, UNWIND_END_NO_RULE},
                                                    {UNWIND_MAPPING_JIT, UNWIND_END_UNKNOWN_JIT}};
    for (auto [kind, reason] : kinds) {
        Process process;
        uint64_t code = process.add(UNWIND_CFA_NONE), tables = codeStart + 0x100000;
        process.others.push_back(otherMapping(tables, UNWIND_MAPPING_PENDING));
        process.word(process.at(20)) = process.at(30);
        process.word(process.at(21)) = code + 5;
        process.word(process.at(30)) = 0;
        process.word(process.at(31)) = code + 6;
        WalkInput leaf{code, process.at(10), process.at(20)};
        WalkResult result = process.walk(leaf, kind);
        CHECK((result.addresses == Addresses{code, code + 5, code + 6}));
        CHECK(result.end == (kind == UNWIND_MAPPING_TABLE ? reason : UNWIND_END_ROOT));
        // On into code whose table is awaited.
        process.word(process.at(21)) = tables + 1;
        result = process.walk(leaf, kind);
        CHECK((result.addresses == Addresses{code, tables + 1}) && result.end == UNWIND_END_NO_TABLE);
        // What is no code is no caller.
        process.word(process.at(21)) = 0x1234567;
        result = process.walk(leaf, kind);
        CHECK(result.addresses == Addresses{code} && result.end == reason);
        for (uint64_t nowhere : {process.at(9), process.at(20) + 4, stackStart + 8 * stackWords, uint64_t{1} << 63}) {
            result = process.walk({code, process.at(10), nowhere}, kind);
            CHECK(result.addresses == Addresses{code} && result.end == reason);
        }
        CHECK(process.walk({code, process.at(10), 0}, kind).end == reason);
    }
}

/** From code with tables through code without and back. */
void testMixed() {
    Process process;
    uint64_t leaf = process.add(rule(UNWIND_CFA_SP, 8)), low = process.add(rule(UNWIND_CFA_SP, 32)),
             root = process.add(UNWIND_CFA_END);
    uint64_t jit = 0x7f0000000000;
    process.others.push_back(otherMapping(jit, UNWIND_MAPPING_JIT));
    process.word(process.at(10)) = jit + 1;
    process.word(process.at(20)) = 7;
    process.word(process.at(21)) = low + 1;
    process.word(process.at(25)) = root + 1;
    WalkResult result = process.walk({leaf, process.at(10), process.at(20)});
    CHECK((result.addresses == Addresses{leaf, jit + 1, low + 1, root + 1}) && result.end == UNWIND_END_ROOT);
}

// ---- Ends.

void testEnds() {
    Process process;
    uint64_t plain = process.add(rule(UNWIND_CFA_SP, 16)), unknown = process.add(UNWIND_CFA_UNKNOWN),
             backwards = process.add(rule(UNWIND_CFA_SP, -16)),
             lose = process.add(rule(UNWIND_CFA_SP, 16, UNWIND_BP_UNKNOWN)),
             byBp = process.add(rule(UNWIND_CFA_BP, 16)), noRule = process.add(UNWIND_CFA_NONE);
    auto endAfter = [&](uint64_t leaf, uint64_t caller, uint64_t sp = Process::at(10)) {
        process.word(process.at(11)) = caller;
        return process.walk({leaf, sp, 0}).end;
    };
    CHECK(endAfter(plain, 0) == UNWIND_END_ROOT);
    CHECK(endAfter(plain, 0x1000) == UNWIND_END_NO_MAPPING);
    CHECK(endAfter(plain, UINT64_MAX) == UNWIND_END_NO_MAPPING);
    CHECK(endAfter(plain, uint64_t{1} << 63) == UNWIND_END_NO_MAPPING);
    CHECK(endAfter(plain, unknown + 1) == UNWIND_END_UNSUPPORTED);
    CHECK(endAfter(plain, backwards + 1) == UNWIND_END_BAD_FRAME);
    CHECK(endAfter(plain, plain + 1, stackStart - 16) == UNWIND_END_UNREADABLE);
    CHECK(endAfter(plain, plain + 1, stackStart + 8 * stackWords - 8) == UNWIND_END_UNREADABLE);
    CHECK(endAfter(lose, byBp + 1) == UNWIND_END_UNSUPPORTED);
    CHECK(endAfter(lose, noRule + 1) == UNWIND_END_NO_RULE);
    CHECK(endAfter(plain, noRule + 1) == UNWIND_END_NO_RULE);
    CHECK(process.walk({0, process.at(0), 0}).end == UNWIND_END_NONE);
    for (auto [kind, end] : {std::pair{UNWIND_MAPPING_PENDING, UNWIND_END_NO_TABLE},
                             std::pair{UNWIND_MAPPING_NO_ROOM, UNWIND_END_NO_ROOM}}) {
        process.others = {otherMapping(0x7f0000000000, static_cast<uint8_t>(kind))};
        CHECK(endAfter(plain, 0x7f0000000010) == end);
    }
    // What the walk stood at is what user space goes on from.
    process.word(process.at(11)) = 0x1000;
    WalkResult result = process.walk({plain, process.at(10), 42});
    CHECK(result.ip == 0x1000 && result.sp == process.at(12) && result.bp == 42 && result.addresses.back() == 0x1000);
}

void testDeep() {
    Process process;
    uint64_t code = process.add(rule(UNWIND_CFA_SP, 16)), root = process.add(UNWIND_CFA_END);
    auto depthAndEnd = [&](size_t calls) {
        for (size_t i = 0; i < calls; i++) {
            process.word(process.at(2 * i + 1)) = i + 1 < calls ? code + 1 : root + 1;
        }
        WalkResult result = process.walk({code, process.at(0), 0});
        return std::pair{result.addresses.size(), result.end};
    };
    CHECK((depthAndEnd(1022) == std::pair{size_t{1023}, UNWIND_END_ROOT}));
    CHECK((depthAndEnd(1023) == std::pair{size_t{1024}, UNWIND_END_ROOT}));
    CHECK((depthAndEnd(1024) == std::pair{size_t{1024}, UNWIND_END_LIMIT}));
    CHECK((depthAndEnd(2000) == std::pair{size_t{1024}, UNWIND_END_LIMIT}));
    // A signal that interrupted its own frame.
    Process loop;
    uint64_t trampoline = loop.add(rule(UNWIND_CFA_SIGNAL, 40));
    interrupt(loop, 105, trampoline, loop.at(100), 0);
    WalkResult result = loop.walk({trampoline, loop.at(100), 0});
    CHECK(result.addresses.size() == UNWIND_MAX_FRAMES && result.end == UNWIND_END_LIMIT);
}

/** A call into the page of old system calls, which push nothing. */
void testVsyscall() {
    Process process;
    uint64_t root = process.add(UNWIND_CFA_END);
    process.word(process.at(0)) = root + 1;
    uint64_t code = 0xffffffffff600400;
    CHECK((process.walk({code, process.at(0), 0}).addresses == Addresses{code, root + 1}));
}

} // namespace

int main() {
    for (void (*test)() : {testStackPointer, testPopped, testEdges, testDereferences, testPlt, testRegister,
                           testRareForms, testSignals, testBareSignalReturn, testFramePointers, testMixed, testEnds,
                           testDeep, testVsyscall, testSearch, testManyMappings, testNonsense}) {
        test();
    }
    printf("all parts passed\n");
}
