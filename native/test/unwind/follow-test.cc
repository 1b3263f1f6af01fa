// What code does to the stack, followed: compilers' ways, and bytes that are no code. Runs under AddressSanitizer and
// UndefinedBehaviorSanitizer.
#include <cinttypes>
#include <cstring>

#include "../check.h"
#include "map-sink.h"
#include "unwind/stack-follower.h"

using namespace hotspan::unwind;

namespace {

std::vector<uint8_t> bytesOf(const std::string &text) {
    return {text.begin(), text.end()};
}

StackFollower followed(const std::string &code, std::initializer_list<uint64_t> functions,
                       const std::string &data = "") {
    StackFollower follower([data](uint64_t address, void *to, size_t sizeBytes) {
        size_t got = address < 0x8000 || address - 0x8000 > data.size() ? 0 : data.size() - (address - 0x8000);
        got = std::min(got, sizeBytes);
        data.copy(static_cast<char *>(to), got, got > 0 ? address - 0x8000 : 0);
        return got;
    });
    CHECK(follower.addCode(0x1000, bytesOf(code)));
    for (uint64_t function : functions) {
        follower.addFunction(0x1000 + function);
    }
    follower.follow();
    follower.judge();
    return follower;
}

void checkFollowed(const StackFollower &follower, const std::vector<std::pair<uint64_t, const char *>> &wanted,
                   uint64_t sizeBytes) {
    MapSink sink;
    follower.rowsOf(0x1000, 0x1000 + sizeBytes, sink);
    for (const auto &[at, rule] : wanted) {
        if (sink.at(0x1000 + at) != rule) {
            printf("followed, at %" PRIu64 ": %s; wanted %s\n", at, sink.at(0x1000 + at).c_str(), rule);
            exit(1);
        }
    }
}

#define CODE(text) std::string(text, sizeof(text) - 1)

const std::string leaveCode = CODE("\x55"                 // 0: push %rbp
                                   "\x48\x89\xe5"         // 1: mov %rsp, %rbp
                                   "\x48\x83\xe4\xe0"     // 4: and $-32, %rsp
                                   "\x48\x81\xec\0\1\0\0" // 8: sub $256, %rsp
                                   "\x48\x29\xc4"         // 15: sub %rax, %rsp
                                   "\x85\xff"             // 18: test %edi, %edi
                                   "\x74\xf9"             // 20: je 15
                                   "\xc9"                 // 22: leave
                                   "\xc3");               // 23: ret

// Saved by mov, used as any register, loaded again.
const std::string savedCode = CODE("\x48\x83\xec\x18"     // 0: sub $24, %rsp
                                   "\x48\x89\x6c\x24\x08" // 4: mov %rbp, 8(%rsp)
                                   "\x89\xfd"             // 9: mov %edi, %ebp
                                   "\x48\x8b\x6c\x24\x08" // 11: mov 8(%rsp), %rbp
                                   "\x48\x83\xc4\x18"     // 16: add $24, %rsp
                                   "\xc3"                 // 20: ret
                                   "\x89\xfd"             // 21: mov %edi, %ebp
                                   "\xc3"                 // 23: ret
                                   "\x48\x89\xfc"         // 24: mov %rdi, %rsp
                                   "\xc3");               // 27: ret

// Two ways with different heights meet; a pop of the own return address; a return too low.
const std::string differingCode = CODE("\x85\xff"     // 0: test %edi, %edi
                                       "\x74\x01"     // 2: je 5
                                       "\x53"         // 4: push %rbx
                                       "\x90"         // 5: nop
                                       "\xc3"         // 6: ret
                                       "\x5a\x90\xc3" // 7: pop %rdx; nop; ret
                                       "\x53\xc3"     // 10: push %rbx; ret
                                       "\x06");       // 12: no instruction

const std::string noReturnCode = CODE("\x53"                 // 0: push %rbx
                                      "\xe8\x0a\0\0\0"       // 1: call 16
                                      "\x53"                 // 6: push %rbx
                                      "\xe8\x13\0\0\0"       // 7: call 31
                                      "\x5b\x5b\xc3\x90"     // 12: pop, pop, ret
                                      "\x48\x83\xec\x08"     // 16: sub $8, %rsp
                                      "\x0f\x05"             // 20: syscall
                                      "\xeb\xfc"             // 22: jmp 20
                                      "\x53"                 // 24: push %rbx
                                      "\xe8\xf2\xff\xff\xff" // 25: call 16
                                      "\x90"                 // 30: nop
                                      "\x53\x5b\xc3");       // 31: push, pop, ret

const std::string jumpCode = CODE("\x53"                     // 0: push %rbx
                                  "\x83\xff\x01"             // 1: cmp $1, %edi
                                  "\x77\x10"                 // 4: ja 22
                                  "\x48\x8d\x15\xf3\x6f\0\0" // 6: lea 0x8000(%rip), %rdx
                                  "\x48\x63\x04\xba"         // 13: movslq (%rdx, %rdi, 4), %rax
                                  "\x48\x01\xd0"             // 17: add %rdx, %rax
                                  "\xff\xe0"                 // 20: jmp *%rax
                                  "\x5b\xc3"                 // 22: pop, ret
                                  "\x90\x5b\xc3"             // 24: nop, pop, ret
                                  "\x90\x90\x5b\xc3");       // 27: nop, nop, pop, ret

/** At 0x8000, for the switch. */
std::string tableData() {
    int32_t offsets[] = {0x1018 - 0x8000, 0x101b - 0x8000};
    return {reinterpret_cast<const char *>(offsets), sizeof offsets};
}

void testFrames() {
    checkFollowed(followed(leaveCode, {0}),
                  {{0, "rsp+8"},
                   {1, "rsp+16 rbp=*cfa-16"},
                   {4, "rsp+16 rbp=*cfa-16"},
                   {8, "rbp+16 rbp=*cfa-16"},
                   {20, "rbp+16 rbp=*cfa-16"},
                   {22, "rbp+16 rbp=*cfa-16"},
                   {23, "rsp+8"}},
                  leaveCode.size());
    checkFollowed(followed(savedCode, {0, 21, 24}),
                  {{4, "rsp+32"},
                   {9, "rsp+32 rbp=*cfa-24"},
                   {11, "rsp+32 rbp=*cfa-24"},
                   {16, "rsp+32 rbp=*cfa-24"},
                   {20, "rsp+8"},
                   {21, "rsp+8"},
                   {23, "rsp+8 rbp=?"},
                   {24, "rsp+8"},
                   {27, "none"}},
                  savedCode.size());
    checkFollowed(followed(differingCode, {0, 7, 10, 12}),
                  {{0, "rsp+8"},
                   {4, "rsp+8"},
                   {5, "none"},
                   {6, "none"},
                   {7, "none"},
                   {8, "none"},
                   {10, "none"},
                   {11, "none"},
                   {12, "none"}},
                  differingCode.size());
    printf("frames: ok\n");
}

void testCalls() {
    // What stands behind the call of a function that never returns is not its caller's.
    checkFollowed(followed(noReturnCode, {24}),
                  {{24, "rsp+8"}, {25, "rsp+16"}, {30, "none"}, {31, "none"}, {16, "rsp+8"}, {20, "rsp+16"}},
                  noReturnCode.size());
    checkFollowed(followed(noReturnCode, {0}),
                  {{0, "rsp+8"}, {1, "rsp+16"}, {6, "none"}, {7, "none"}, {12, "none"}, {16, "rsp+8"}, {31, "none"}},
                  noReturnCode.size());
    // One height too few for its returns: nothing of it is believed.
    checkFollowed(followed(noReturnCode, {6}), {{6, "none"}, {7, "none"}, {12, "none"}, {31, "rsp+8"}, {32, "rsp+16"}},
                  noReturnCode.size());
    printf("calls: ok\n");
}

/** switch: offsets from the table, as many as the comparison says; one that leads nowhere makes it no table. */
void testSwitch() {
    std::string table = tableData();
    checkFollowed(followed(jumpCode, {0}, table), {{20, "rsp+16"}, {24, "rsp+16"}, {26, "rsp+8"}, {29, "rsp+16"}},
                  jumpCode.size());
    checkFollowed(followed(jumpCode, {0}, table.substr(0, 7)), {{20, "rsp+16"}, {22, "rsp+16"}, {24, "none"}},
                  jumpCode.size());
    printf("switch: ok\n");
}

/** Whatever the bytes are, and wherever functions begin: rows in order, within the code. */
void testNoise() {
    for (int i = 0; i < 20000; i++) {
        std::string noise;
        for (const std::string &piece : {leaveCode, savedCode, differingCode, noReturnCode, jumpCode}) {
            noise += piece;
        }
        for (uint64_t changes = below(12); changes > 0; changes--) {
            noise[below(noise.size())] = static_cast<char>(random64());
        }
        StackFollower follower = followed(noise, {below(noise.size()), below(noise.size()), 0}, tableData());
        MapSink sink;
        follower.rowsOf(0x1000, 0x1000 + noise.size(), sink);
        CHECK(sink.rules.begin()->first == 0x1000 && sink.rules.rbegin()->first <= 0x1000 + noise.size());
    }
    printf("noise: ok\n");
}

/** Registers that instructions write, rsp and rbp among them; those that the byte registers hide. */
void testWrites() {
    const std::pair<std::string, uint32_t> cases[] = {
        {CODE("\x48\x89\xe5"), 1U << 5},           // mov %rsp, %rbp
        {CODE("\x49\x89\xe5"), 1U << 13},          // mov %rsp, %r13
        {CODE("\x48\x39\xe5"), 0},                 // cmp %rsp, %rbp
        {CODE("\x88\xe5"), 1U << 1},               // mov %ah, %ch
        {CODE("\x40\x88\xe5"), 1U << 5},           // mov %spl, %bpl
        {CODE("\x48\x87\xec"), 1U << 4 | 1U << 5}, // xchg %rbp, %rsp
        {CODE("\x0f\xb6\xe8"), 1U << 5},           // movzbl %al, %ebp
        {CODE("\x48\x0f\x44\xe8"), 1U << 5},       // cmove %rax, %rbp
        {CODE("\x66\x0f\x6f\x2c\x24"), 0},         // movdqa (%rsp), %xmm5
        {CODE("\x66\x48\x0f\x7e\xe5"), 1U << 5},   // movq %xmm4, %rbp
        {CODE("\xf3\x0f\x7e\x2c\x24"), 0},         // movq (%rsp), %xmm5
        {CODE("\xf2\x48\x0f\x2c\xe8"), 1U << 5},   // cvttsd2si %xmm0, %rbp
        {CODE("\xc4\xe2\xd0\xf3\xd8"), 1U << 5},   // blsi %rax, %rbp
        {CODE("\xc4\xe2\xf8\xf7\xe8"), 1U << 5},   // bextr %rax, %rax, %rbp
        {CODE("\xc5\xf9\xd7\xe8"), 1U << 5},       // vpmovmskb %xmm0, %ebp
        {CODE("\x62\xf1\x7c\x48\x10\x2c\x24"), 0}, // vmovups (%rsp), %zmm5
        {CODE("\x41\xff\xcd"), 1U << 13},          // dec %r13d
        {CODE("\xf7\xdd"), 1U << 5},               // neg %ebp
        {CODE("\xf7\xc5\1\0\0\0"), 0},             // test $1, %ebp
    };
    for (size_t i = 0; i < std::size(cases); i++) {
        const auto &[bytes, mask] = cases[i];
        Instruction it = decodeInstruction(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
        if (it.sizeBytes != bytes.size() || writtenRegisters(it) != mask) {
            printf("instruction %zu: %zu bytes, writes %x; wanted %zu, %x\n", i, it.sizeBytes, writtenRegisters(it),
                   bytes.size(), mask);
            exit(1);
        }
    }
    printf("writes: ok\n");
}

} // namespace

int main() {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    testWrites();
    testFrames();
    testCalls();
    testSwitch();
    testNoise();
    printf("all parts passed\n");
    return 0;
}
