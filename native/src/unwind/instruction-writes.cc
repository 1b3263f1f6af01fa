/** Which general registers instructions write. */
#include "instruction.h"

namespace hotspan::unwind {
namespace {

constexpr uint32_t rax = 1U << 0;
constexpr uint32_t rcx = 1U << 1;
constexpr uint32_t rdx = 1U << 2;
constexpr uint32_t rbx = 1U << 3;
constexpr uint32_t rsi = 1U << 6;
constexpr uint32_t rdi = 1U << 7;
constexpr uint32_t r11 = 1U << 11;

bool isIn(uint16_t value, uint16_t first, uint16_t last) {
    return value >= first && value <= last;
}

/** Without a REX prefix the byte registers 4 to 7 are the second bytes of rax to rbx. */
uint32_t registerBit(const Instruction &it, uint8_t number, bool isByte) {
    return 1U << (isByte && it.rex == 0 ? number & 3 : number);
}

uint32_t regBit(const Instruction &it, bool isByte = false) {
    return registerBit(it, it.reg(), isByte);
}

/** Nothing where it is memory. */
uint32_t rmBit(const Instruction &it, bool isByte = false) {
    return it.isRegisterForm() ? registerBit(it, it.rm(), isByte) : 0;
}

uint32_t arithmeticWrites(const Instruction &it) {
    if (it.opcode >= 0x38) {
        return 0;
    }
    bool isByte = (it.opcode & 1) == 0;
    uint8_t low = it.opcode & 7;
    return low < 2 ? rmBit(it, isByte) : low < 4 ? regBit(it, isByte) : rax;
}

uint32_t groupWrites(const Instruction &it) {
    bool isByte = (it.opcode & 1) == 0;
    uint8_t operation = it.operation();
    if (it.opcode >= 0xfe) {
        return operation < 2 ? rmBit(it, isByte) : 0;
    }
    // test, not and neg, then multiplication and division.
    return operation < 2 ? 0 : operation < 4 ? rmBit(it, isByte) : rax | rdx;
}

uint32_t oneByteWrites(const Instruction &it) {
    uint16_t op = it.opcode;
    bool isByte = (op & 1) == 0;
    if (op < 0x40) {
        return arithmeticWrites(it);
    }
    if (isIn(op, 0x58, 0x5f) || isIn(op, 0xb8, 0xbf)) {
        return 1U << it.opcodeRegister();
    }
    if (isIn(op, 0xb0, 0xb7)) {
        return registerBit(it, it.opcodeRegister(), true);
    }
    if (isIn(op, 0x91, 0x97) || (op == 0x90 && (it.rex & 1) != 0)) {
        return 1U << it.opcodeRegister() | rax;
    }
    if (op == 0x63 || op == 0x69 || op == 0x6b || op == 0x8d) {
        return regBit(it);
    }
    if (op == 0x80 || op == 0x81 || op == 0x83) {
        return it.operation() == 7 ? 0 : rmBit(it, op == 0x80);
    }
    switch (op) {
    case 0x86:
    case 0x87:
        return regBit(it, isByte) | rmBit(it, isByte);
    case 0x8a:
    case 0x8b:
        return regBit(it, isByte);
    case 0x88:
    case 0x89:
    case 0x8c:
    case 0x8f:
    case 0xc6:
    case 0xc7:
        return rmBit(it, op == 0x88 || op == 0xc6);
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
        return groupWrites(it);
    case 0xc9:
        return 1U << numberOfRbp;
    default:
        break;
    }
    if (op == 0xc0 || op == 0xc1 || isIn(op, 0xd0, 0xd3)) {
        return rmBit(it, isByte);
    }
    // Strings, loops, ports and the flags: registers that they are bound to.
    bool isBound = isIn(op, 0x6c, 0x6f) || isIn(op, 0x98, 0xaf) || isIn(op, 0xd7, 0xef);
    return isBound ? rax | rcx | rdx | rsi | rdi : 0;
}

/** 0f ae: rdfsbase and rdgsbase; 0f c7: cmpxchg8b, rdrand, rdseed, rdpid; 0f 1e: rdssp. */
uint32_t systemGroupWrites(const Instruction &it) {
    switch (it.opcode) {
    case 0x0fae:
        return it.prefix == 0xf3 && it.operation() < 2 ? rmBit(it) : 0;
    case 0x0fc7:
        return it.isRegisterForm() ? rmBit(it) : rax | rdx;
    case 0x0f1e:
        return it.prefix == 0xf3 && it.operation() == 1 ? rmBit(it) : 0;
    case 0x0f00:
        return it.operation() < 2 ? rmBit(it) : 0;
    case 0x0f01:
        return it.operation() == 4 ? rmBit(it) : rax | rdx | rcx;
    case 0x0fba:
        return it.operation() == 4 ? 0 : rmBit(it);
    default:
        return 0;
    }
}

uint32_t exchangeWrites(const Instruction &it) {
    bool isByte = (it.opcode & 1) == 0;
    return it.opcode < 0x0fb2 ? rmBit(it, isByte) | rax : rmBit(it, isByte) | regBit(it, isByte);
}

uint32_t twoByteWrites(const Instruction &it) {
    auto op = static_cast<uint8_t>(it.opcode);
    if (isIn(op, 0x40, 0x4f) || op == 0xaf || op == 0xb6 || op == 0xb7 || op == 0xb8 || isIn(op, 0xbc, 0xbf) ||
        op == 0x02 || op == 0x03 || op == 0x50 || op == 0xd7 || op == 0xc5 || isIn(op, 0xb2, 0xb5)) {
        // btr (b3) shares the range of the loads of far pointers.
        return op == 0xb3 ? rmBit(it) : regBit(it);
    }
    // To xmm and mm registers without the prefix.
    if (op == 0x2c || op == 0x2d || op == 0x78 || op == 0x79) {
        return it.prefix == 0xf2 || it.prefix == 0xf3 ? regBit(it) : op > 0x70 ? rmBit(it) : 0;
    }
    if (op == 0x7e) {
        return it.prefix == 0xf3 ? 0 : rmBit(it);
    }
    if (isIn(op, 0x90, 0x9f)) {
        return rmBit(it, true);
    }
    if (op == 0xa4 || op == 0xa5 || op == 0xab || op == 0xac || op == 0xad || op == 0xbb || op == 0x20 || op == 0x21) {
        return rmBit(it);
    }
    if (op == 0xb0 || op == 0xb1 || op == 0xc0 || op == 0xc1) {
        return exchangeWrites(it);
    }
    if (isIn(op, 0xc8, 0xcf)) {
        return 1U << it.opcodeRegister();
    }
    if (op == 0x05) {
        return rax | rcx | r11;
    }
    if (op == 0xa2 || op == 0x31 || op == 0x32 || op == 0x33) {
        return rax | rbx | rcx | rdx;
    }
    return systemGroupWrites(it);
}

uint32_t longMapWrites(const Instruction &it) {
    auto op = static_cast<uint8_t>(it.opcode);
    if (it.opcode >= 0x3a00) {
        return isIn(op, 0x14, 0x17) ? rmBit(it) : 0;
    }
    // crc32, movbe; adcx and adox.
    bool isCrc = it.prefix == 0xf2 && isIn(op, 0xf0, 0xf1);
    return isCrc || op == 0xf0 || op == 0xf6 ? regBit(it) : 0;
}

/** Of vector instructions that move to general registers, and of those that only borrow the prefix. */
uint32_t vectorWrites(const Instruction &it) {
    auto op = static_cast<uint8_t>(it.opcode);
    uint32_t extra = it.extraRegister < 16 ? 1U << it.extraRegister : 0;
    switch (it.opcode & 0xff00) {
    case 0x0f00:
    case 0x0500:
        if (op == 0x7e) {
            return it.prefix == 0x66 ? rmBit(it) : 0;
        }
        return op == 0x50 || op == 0x2c || op == 0x2d || op == 0x78 || op == 0x79 || op == 0xd7 || op == 0xc5 ||
                       op == 0x93
                   ? regBit(it)
                   : 0;
    case 0x3800:
        // blsi and its like, mulx; andn, pdep, bextr and shifts, compare and add.
        return op == 0xf3 ? extra : op == 0xf6 ? extra | regBit(it) : op >= 0xe0 ? regBit(it) : 0;
    case 0x3a00:
        return op == 0xf0 ? regBit(it) : isIn(op, 0x14, 0x17) ? rmBit(it) : 0;
    default:
        return 0;
    }
}

} // namespace

uint32_t writtenRegisters(const Instruction &instruction) {
    if (instruction.isVector) {
        return vectorWrites(instruction);
    }
    switch (instruction.opcode & 0xff00) {
    case 0:
        return oneByteWrites(instruction);
    case 0x0f00:
        return twoByteWrites(instruction);
    default:
        return longMapWrites(instruction);
    }
}

} // namespace hotspan::unwind
