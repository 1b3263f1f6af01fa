/**
 * Heights of the stack in code that nothing describes, found by following what its instructions do from where functions
 * begin: at entry the return address is where rsp points to, and what compilers make of C moves rsp by constants. An
 * address gets a rule where all ways that lead there agree, and where a way from it leads to a return at the height of
 * the entry, or at least none leads to one at another.
 *
 * Code is taken as a stranger's: it may lie about anything, but not make this slow or large. Each instruction is gone
 * through a few times at most, since what is known of it only becomes less.
 */
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cfi-program.h"
#include "instruction.h"

namespace hotspan::unwind {

/** What holds before an instruction. Distances are from the CFA down, in bytes. */
struct StackHeights {
    static constexpr int32_t unknown = INT32_MIN;

    int32_t rsp = 8;
    /** Where rbp points to, where it is a frame pointer. */
    int32_t rbp = unknown;
    /** Where the caller's rbp was saved; 0: it was not. */
    int32_t savedRbp = 0;
    /** rbp is the caller's. */
    bool isRbpKept = true;

    bool operator==(const StackHeights &) const = default;
};

/** As a rule of bpf/lib/unwind-table.h; UNWIND_CFA_NONE where neither register tells the CFA. */
uint32_t ruleOf(const StackHeights &heights);

/** What an instruction that goes on with the next one makes of the heights. */
StackHeights heightsAfter(const Instruction &instruction, const StackHeights &before);

class StackFollower {
  public:
    /** More code than this is not followed: musl's libc has 400 KB. */
    static constexpr size_t defaultMaxCodeBytes = 1U << 20;

    /** Reads bytes of the file's data at an ELF address; gives how many it could. */
    using ReadData = std::function<size_t(uint64_t address, void *to, size_t sizeBytes)>;

    explicit StackFollower(ReadData readData, size_t maxCodeBytes = defaultMaxCodeBytes)
        : readData_(std::move(readData)), maxCodeBytes_(maxCodeBytes) {}

    /** The file is loaded where it says: numbers in instructions may be addresses. */
    void setFixed(bool isFixed) { isFixed_ = isFixed; }
    /** Code to follow, in order of addresses. False where there is no room for it. */
    bool addCode(uint32_t begin, std::vector<uint8_t> bytes);
    /** A function begins there: what was seen of the place before does not count. */
    void addFunction(uint64_t address);
    /** Perhaps a function begins there, as somebody has its address: it does where nothing led there. */
    void addCandidate(uint64_t address);
    /** Follows all that was added; more may be added then. */
    void follow();
    /** Tells of each instruction whether a return at the right height, or one at a wrong one, can come after it. Once,
     * at the end. */
    void judge();

    bool isVisited(uint64_t address) const;
    /** The heights before the instruction that begins there; nothing where none does or they are no rule. */
    const StackHeights *heightsAt(uint64_t address) const;
    /** Gives the rows of [begin, end), UNWIND_CFA_NONE where there is none. */
    void rowsOf(uint64_t begin, uint64_t end, RowSink &sink) const;
    /** First and end of the instructions in [begin, end) that have a rule; both `end` where none has. */
    std::pair<uint64_t, uint64_t> extentIn(uint64_t begin, uint64_t end) const;
    size_t visitedBytes() const;

  private:
    static constexpr uint32_t nowhere = UINT32_MAX;

    struct Region {
        uint32_t begin;
        uint32_t sizeBytes;
        /** Of its first byte in code_ and nodeAt_. */
        uint32_t at;
    };
    enum Mark : uint8_t { queued = 1, pinned = 2, leaves = 4, fallsOn = 8, good = 16, bad = 32 };
    /** An instruction. */
    struct Node {
        StackHeights heights;
        uint32_t at = 0;
        uint32_t function = 0;
        /** Where it jumps to, in code_. */
        uint32_t target = nowhere;
        uint8_t sizeBytes = 0;
        uint8_t marks = 0;
    };
    struct Function {
        bool returns = false;
        uint32_t firstWaiter = nowhere;
    };
    /** A call's instruction or a function, in the list of those that wait for a function to return. */
    struct Waiter {
        uint32_t waiter;
        uint32_t next;
        bool isCall;
    };
    /** One of several ways that an instruction leads. */
    struct Way {
        uint32_t node;
        uint32_t target;
    };
    struct JumpTable {
        uint64_t address = 0;
        int64_t count = 0;
        bool isAbsolute = false;
    };

    uint32_t placeOf(uint64_t address) const;
    uint64_t addressOf(uint32_t at) const;
    const Region &regionAt(uint32_t at) const;
    uint32_t enterFunction(uint32_t at);
    void setReturns(uint32_t function);
    void waitFor(uint32_t function, uint32_t waiter, bool isCall);
    void release(uint32_t function);
    void goOnBehind(uint32_t number);
    bool step();
    void reach(uint32_t at, const StackHeights &heights, uint32_t function, bool isByCall);
    void push(uint32_t node);
    void visit(uint32_t number);
    void visitCall(uint32_t number, const Instruction &instruction, uint64_t next);
    void visitJump(uint32_t number, const Instruction &instruction, uint64_t next);
    void visitIndirectJump(uint32_t number, const Instruction &instruction);
    void jumpTo(uint32_t number, uint64_t address);
    void leaveBy(uint32_t number);
    uint32_t before(uint32_t at) const;
    JumpTable tableOf(uint32_t number, const Instruction &jump) const;
    std::vector<uint32_t> targetsOf(const JumpTable &table) const;
    bool followTable(uint32_t number, const Instruction &instruction);
    void noteAddress(const Instruction &instruction, uint64_t next);
    bool isSound(const Node &node) const;
    bool isPadding(uint32_t at) const;

    ReadData readData_;
    size_t maxCodeBytes_;
    bool isFixed_ = false;
    std::vector<Region> regions_;
    std::vector<uint8_t> code_;
    /** By place in code_, the number of the instruction that begins there, + 1. */
    std::vector<uint32_t> nodeAt_;
    std::vector<Node> nodes_;
    std::vector<Function> functions_;
    std::vector<uint32_t> work_;
    std::vector<uint32_t> returned_;
    std::vector<uint32_t> released_;
    std::vector<Waiter> waiters_;
    std::vector<Way> tables_;
    std::vector<uint64_t> candidates_;
    size_t nextCandidate_ = 0;
    size_t visits_ = 0;
    /** False where there is too much of something: then nothing is known, for what was not seen may disagree. */
    bool isComplete_ = true;
};

} // namespace hotspan::unwind
