/** Going through code with a model of rsp. */
#include "code-scan.h"

#include <map>

#include "instruction.h"
#include "unwind-table.h"

namespace hotspan::unwind {
namespace {

/** Registers by their numbers in instructions. */
constexpr uint8_t rsp = 4;
constexpr uint8_t rbp = 5;

struct Stack {
    /** How far rsp is below its value at entry. */
    int64_t depth = 0;
    /** Where rbp was saved, from the CFA; 0: it was not. */
    int64_t savedRbp = 0;
    /** The depth that rbp points at since mov %rsp, %rbp; 0: it does not. */
    int64_t framed = 0;
};

enum class Next { on, elsewhere, unknown };

class Scanner {
  public:
    Next step(const Instruction &instruction);
    Stack stack;
    /** Before what gives back the stack at an exit: what follows the exit begins with it again. */
    Stack body;

  private:
    Next stepOther(const Instruction &instruction);
    void shrink(int64_t bytes);
    bool isLeaving_ = false;

  public:
    void enter(const Stack &other) {
        stack = other;
        isLeaving_ = false;
    }
    void leave() {
        if (!isLeaving_) {
            body = stack;
        }
    }
};

void Scanner::shrink(int64_t bytes) {
    if (!isLeaving_) {
        body = stack;
        isLeaving_ = true;
    }
    stack.depth -= bytes;
}

Next Scanner::step(const Instruction &instruction) {
    uint16_t op = instruction.opcode;
    bool isExtended = (instruction.rex & 1) != 0;
    if (op >= 0x50 && op <= 0x57) {
        stack.depth += 8;
        isLeaving_ = false;
        if (op == 0x50 + rbp && !isExtended && stack.savedRbp == 0) {
            stack.savedRbp = -8 - stack.depth;
        }
        return op == 0x50 + rsp && !isExtended ? Next::unknown : Next::on;
    }
    if (op >= 0x58 && op <= 0x5f) {
        shrink(8);
        if (op == 0x58 + rbp && !isExtended) {
            stack.savedRbp = 0;
            stack.framed = 0;
        }
        return op == 0x58 + rsp && !isExtended ? Next::unknown : Next::on;
    }
    if (op == 0xc9) {
        shrink(stack.depth - (stack.framed - 8));
        bool isFramed = stack.framed != 0;
        stack.savedRbp = 0;
        stack.framed = 0;
        return isFramed ? Next::on : Next::unknown;
    }
    return stepOther(instruction);
}

Next Scanner::stepOther(const Instruction &instruction) {
    uint16_t op = instruction.opcode;
    uint8_t kind = instruction.modrm >> 3 & 7;
    bool isRegister = instruction.modrm >> 6 == 3;
    bool isRsp = isRegister && (instruction.modrm & 7) == rsp && (instruction.rex & 1) == 0;
    if (op == 0xc3 || op == 0xe9 || op == 0xeb || (op == 0xff && (kind == 4 || kind == 5)) || op == 0xf4 ||
        op == 0x0f0b) {
        return Next::elsewhere;
    }
    if ((op == 0x83 || op == 0x81) && isRsp) {
        if (kind == 5) {
            stack.depth += instruction.immediate;
            isLeaving_ = false;
        } else if (kind == 0) {
            shrink(instruction.immediate);
        }
        return kind == 5 || kind == 0 || kind == 7 ? Next::on : Next::unknown;
    }
    if (op == 0x89 && instruction.modrm == 0xe5 && instruction.rex == 0x48) {
        stack.framed = stack.depth;
        return Next::on;
    }
    if (op == 0x6a || op == 0x68 || (op == 0xff && kind == 6)) {
        stack.depth += 8;
        return Next::on;
    }
    // Nothing that calls or chooses is part of an exit: what went before gave back arguments.
    if (op == 0xe8 || (op == 0xff && kind == 2) || (op >= 0x70 && op <= 0x7f) || (op >= 0x0f80 && op <= 0x0f8f)) {
        isLeaving_ = false;
        return Next::on;
    }
    // Other instructions whose result is rsp.
    bool isRspResult = (op == 0x8b || op == 0x8d) && kind == rsp && (instruction.rex & 4) == 0;
    bool isRspTarget = isRsp && (op == 0x89 || op == 0x01 || op == 0x29 || op == 0x21 || op == 0xc7 || op == 0x87);
    return isRspResult || isRspTarget || op == 0x8f ? Next::unknown : Next::on;
}

uint32_t ruleFor(const Stack &stack) {
    FrameState state;
    state.cfa = {ExpressionKind::address, static_cast<uint8_t>(dwarfRsp), stack.depth + 8, 0};
    state.returnAddress = {SavedKind::atOffset, -8, {}};
    if (stack.savedRbp != 0) {
        state.rbp = {SavedKind::atOffset, stack.savedRbp, {}};
    }
    return stack.depth < 0 ? uint32_t{UNWIND_CFA_NONE} : ruleOf(state);
}

bool isJump(const Instruction &instruction) {
    uint16_t op = instruction.opcode;
    return (op >= 0x70 && op <= 0x7f) || op == 0xeb || op == 0xe9 || (op >= 0x0f80 && op <= 0x0f8f);
}

} // namespace

bool scanCode(const uint8_t *code, size_t sizeBytes, uint64_t begin, RowSink &sink) {
    Scanner scanner;
    /** At targets of jumps that lead forward. */
    std::map<size_t, Stack> targets;
    bool isEntered = true;
    for (size_t at = 0; at < sizeBytes;) {
        auto target = targets.find(at);
        if (!isEntered) {
            scanner.enter(target != targets.end() ? target->second : scanner.body);
        }
        Instruction instruction = decodeInstruction(code + at, sizeBytes - at);
        sink.row(begin + at, ruleFor(scanner.stack));
        size_t next = at + instruction.sizeBytes;
        if (instruction.sizeBytes == 0) {
            sink.row(begin + at, UNWIND_CFA_NONE);
            return false;
        }
        if (isJump(instruction)) {
            int64_t to = static_cast<int64_t>(next) + instruction.immediate;
            if (to > static_cast<int64_t>(at) && to < static_cast<int64_t>(sizeBytes)) {
                targets.emplace(static_cast<size_t>(to), scanner.stack);
            }
        }
        Next where = scanner.step(instruction);
        if (where == Next::unknown) {
            if (next < sizeBytes) {
                sink.row(begin + next, UNWIND_CFA_NONE);
            }
            return false;
        }
        isEntered = where == Next::on;
        if (!isEntered) {
            scanner.leave();
        }
        at = next;
    }
    return true;
}

} // namespace hotspan::unwind
