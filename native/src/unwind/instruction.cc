/** Decoding of instructions as far as their length and their plain operands. */
#include "instruction.h"

#include "byte-cursor.h"

namespace hotspan::unwind {
namespace {

struct Form {
    bool isKnown;
    bool hasModrm;
    int immediateBytes;
};

bool isIn(uint8_t value, uint8_t first, uint8_t last) {
    return value >= first && value <= last;
}

Form oneByteForm(uint8_t op, bool isWide) {
    if (op < 0x40) {
        uint8_t low = op & 7;
        return low < 4 ? Form{true, true, 0} : low < 6 ? Form{true, false, low == 4 ? 1 : 4} : Form{false, false, 0};
    }
    if (isIn(op, 0x50, 0x5f) || isIn(op, 0x90, 0x99) || isIn(op, 0xa4, 0xa7) || isIn(op, 0xaa, 0xaf) || op == 0xc3 ||
        op == 0xc9 || op == 0xcc || op == 0xf4) {
        return {true, false, 0};
    }
    if (op == 0x63 || isIn(op, 0x84, 0x8f) || isIn(op, 0xd0, 0xd3) || isIn(op, 0xd8, 0xdf) || isIn(op, 0xf6, 0xf7) ||
        op == 0xfe || op == 0xff) {
        return {true, true, 0};
    }
    if (op == 0x6b || op == 0x80 || op == 0x83 || op == 0xc0 || op == 0xc1 || op == 0xc6) {
        return {true, true, 1};
    }
    if (op == 0x69 || op == 0x81 || op == 0xc7) {
        return {true, true, 4};
    }
    if (op == 0x6a || isIn(op, 0x70, 0x7f) || op == 0xa8 || isIn(op, 0xb0, 0xb7) || op == 0xcd || op == 0xeb) {
        return {true, false, 1};
    }
    if (op == 0x68 || op == 0xa9 || op == 0xe8 || op == 0xe9) {
        return {true, false, 4};
    }
    return {isIn(op, 0xb8, 0xbf), false, isWide ? 8 : 4};
}

Form twoByteForm(uint8_t op) {
    if (isIn(op, 0x80, 0x8f)) {
        return {true, false, 4};
    }
    if (op == 0x05 || op == 0x0b || op == 0xa2 || isIn(op, 0xc8, 0xcf)) {
        return {true, false, 0};
    }
    if (isIn(op, 0x70, 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || isIn(op, 0xc4, 0xc6)) {
        return {true, true, 1};
    }
    bool hasModrm = isIn(op, 0x10, 0x1f) || isIn(op, 0x28, 0x2f) || isIn(op, 0x40, 0x6f) || isIn(op, 0x74, 0x76) ||
                    isIn(op, 0x7e, 0x7f) || isIn(op, 0x90, 0x9f) || op == 0xa3 || op == 0xa5 || op == 0xab ||
                    op == 0xad || op == 0xae || op == 0xaf || isIn(op, 0xb0, 0xb1) || op == 0xb3 ||
                    isIn(op, 0xb6, 0xb7) || isIn(op, 0xbb, 0xbf) || op == 0xc0 || op == 0xc1 || op == 0xc7 ||
                    isIn(op, 0xd0, 0xfe);
    return {hasModrm, hasModrm, 0};
}

bool isPrefix(uint8_t byte) {
    return byte == 0x66 || byte == 0xf2 || byte == 0xf3 || byte == 0x2e || byte == 0x3e || byte == 0x64 ||
           byte == 0x65 || byte == 0xf0;
}

int64_t takeSigned(ByteCursor &cursor, int sizeBytes) {
    switch (sizeBytes) {
    case 1:
        return cursor.take<int8_t>();
    case 2:
        return cursor.take<int16_t>();
    case 4:
        return cursor.take<int32_t>();
    case 8:
        return cursor.take<int64_t>();
    default:
        return 0;
    }
}

void takeOperand(ByteCursor &cursor, Instruction &instruction) {
    instruction.modrm = cursor.take<uint8_t>();
    uint8_t mode = instruction.modrm >> 6;
    uint8_t base = instruction.modrm & 7;
    if (mode == 3) {
        return;
    }
    bool hasBase = true;
    if (base == 4) {
        hasBase = (cursor.take<uint8_t>() & 7) != 5 || mode != 0;
    }
    bool isLong = mode == 2 || (mode == 0 && (base == 5 || !hasBase));
    instruction.displacement = takeSigned(cursor, isLong ? 4 : mode == 1 ? 1 : 0);
}

} // namespace

Instruction decodeInstruction(const uint8_t *bytes, size_t sizeBytes) {
    ByteCursor cursor(bytes, bytes + sizeBytes);
    Instruction instruction;
    bool isShort = false;
    auto op = cursor.take<uint8_t>();
    for (int i = 0; i < 4 && isPrefix(op); i++) {
        isShort = isShort || op == 0x66;
        op = cursor.take<uint8_t>();
    }
    if ((op & 0xf0) == 0x40) {
        instruction.rex = op;
        op = cursor.take<uint8_t>();
    }
    Form form{};
    if (op == 0x0f) {
        op = cursor.take<uint8_t>();
        instruction.opcode = static_cast<uint16_t>(0x0f00 | op);
        form = twoByteForm(op);
    } else {
        instruction.opcode = op;
        form = oneByteForm(op, (instruction.rex & 8) != 0);
    }
    if (form.hasModrm) {
        takeOperand(cursor, instruction);
    }
    // test r/m, imm shares its opcodes with not, neg, mul and div.
    if (instruction.opcode == 0xf6 || instruction.opcode == 0xf7) {
        form.immediateBytes = (instruction.modrm >> 3 & 7) < 2 ? (op == 0xf6 ? 1 : 4) : 0;
    }
    bool isBranch = instruction.opcode == 0xe8 || instruction.opcode == 0xe9 || instruction.opcode >> 8 != 0;
    instruction.immediate =
        takeSigned(cursor, form.immediateBytes == 4 && isShort && !isBranch ? 2 : form.immediateBytes);
    if (form.isKnown && cursor.isGood()) {
        instruction.sizeBytes = sizeBytes - cursor.left();
    }
    return instruction;
}

} // namespace hotspan::unwind
