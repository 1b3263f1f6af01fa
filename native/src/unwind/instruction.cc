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

constexpr Form unknown{false, false, 0};

bool isIn(uint8_t value, uint8_t first, uint8_t last) {
    return value >= first && value <= last;
}

Form arithmeticForm(uint8_t op) {
    uint8_t low = op & 7;
    return low < 4 ? Form{true, true, 0} : low < 6 ? Form{true, false, low == 4 ? 1 : 4} : unknown;
}

Form highForm(uint8_t op) {
    if (op == 0xc0 || op == 0xc1 || op == 0xc6) {
        return {true, true, 1};
    }
    if (isIn(op, 0xd0, 0xd3) || isIn(op, 0xd8, 0xdf) || isIn(op, 0xf6, 0xf7) || isIn(op, 0xfe, 0xff)) {
        return {true, true, 0};
    }
    if (op == 0xc7) {
        return {true, true, 4};
    }
    if (op == 0xcd || isIn(op, 0xe0, 0xe7) || op == 0xeb) {
        return {true, false, 1};
    }
    if (op == 0xc2 || op == 0xca) {
        return {true, false, 2};
    }
    // enter has two, of two bytes and of one.
    if (op == 0xc8) {
        return {true, false, 3};
    }
    if (op == 0xe8 || op == 0xe9) {
        return {true, false, 4};
    }
    bool isPlain = op == 0xc3 || op == 0xc9 || op == 0xcb || op == 0xcc || op == 0xcf || op == 0xd7 ||
                   isIn(op, 0xec, 0xef) || op == 0xf1 || op == 0xf4 || op == 0xf5 || isIn(op, 0xf8, 0xfd);
    return {isPlain, false, 0};
}

Form oneByteForm(uint8_t op, const Instruction &instruction) {
    if (op < 0x40) {
        return arithmeticForm(op);
    }
    if (op >= 0xc0) {
        return highForm(op);
    }
    if (op == 0x63 || isIn(op, 0x84, 0x8f)) {
        return {true, true, 0};
    }
    if (op == 0x6b || op == 0x80 || op == 0x83) {
        return {true, true, 1};
    }
    if (op == 0x69 || op == 0x81) {
        return {true, true, 4};
    }
    if (op == 0x6a || isIn(op, 0x70, 0x7f) || op == 0xa8 || isIn(op, 0xb0, 0xb7)) {
        return {true, false, 1};
    }
    if (op == 0x68 || op == 0xa9) {
        return {true, false, 4};
    }
    if (isIn(op, 0xa0, 0xa3)) {
        return {true, false, 8};
    }
    if (isIn(op, 0xb8, 0xbf)) {
        return {true, false, instruction.isWide() ? 8 : 4};
    }
    bool isPlain = isIn(op, 0x50, 0x5f) || isIn(op, 0x6c, 0x6f) || isIn(op, 0x90, 0x99) || isIn(op, 0x9b, 0xaf);
    return {isPlain, false, 0};
}

bool hasByteImmediate(uint8_t op) {
    return isIn(op, 0x70, 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || isIn(op, 0xc4, 0xc6);
}

Form twoByteForm(uint8_t op) {
    if (isIn(op, 0x80, 0x8f)) {
        return {true, false, 4};
    }
    if (isIn(op, 0x05, 0x09) || op == 0x0b || isIn(op, 0x30, 0x35) || op == 0x37 || op == 0x77 ||
        isIn(op, 0xa0, 0xa2) || isIn(op, 0xa8, 0xaa) || isIn(op, 0xc8, 0xcf)) {
        return {true, false, 0};
    }
    bool isMissing = op == 0x04 || op == 0x0a || op == 0x0c || op == 0x0e || op == 0x0f || isIn(op, 0x24, 0x27) ||
                     op == 0x36 || isIn(op, 0x38, 0x3f) || op == 0x7a || op == 0x7b || isIn(op, 0xa6, 0xa7);
    return {!isMissing, !isMissing, hasByteImmediate(op) ? 1 : 0};
}

int64_t takeSigned(ByteCursor &cursor, int sizeBytes) {
    switch (sizeBytes) {
    case 1:
        return cursor.take<int8_t>();
    case 2:
        return cursor.take<int16_t>();
    case 3:
        cursor.take<int16_t>();
        return cursor.take<int8_t>();
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
    instruction.hasModrm = true;
    uint8_t mode = instruction.modrm >> 6;
    uint8_t base = instruction.modrm & 7;
    if (mode == 3) {
        return;
    }
    bool hasBase = true;
    bool hasSib = base == 4;
    if (hasSib) {
        auto sib = cursor.take<uint8_t>();
        auto index = static_cast<uint8_t>((sib >> 3 & 7) | (instruction.rex & 2) << 2);
        instruction.index = index == numberOfRsp ? noRegister : index;
        base = sib & 7;
        hasBase = base != 5 || mode != 0;
    } else if (base == 5 && mode == 0) {
        instruction.isRipRelative = true;
        hasBase = false;
    }
    if (hasBase) {
        instruction.base = static_cast<uint8_t>(base | (instruction.rex & 1) << 3);
    }
    instruction.displacement = takeSigned(cursor, mode == 2 || !hasBase ? 4 : mode == 1 ? 1 : 0);
}

/** A prefix of a vector instruction tells the map, and has its bits of registers inverted. */
bool takeVectorPrefix(ByteCursor &cursor, uint8_t first, Instruction &instruction) {
    constexpr uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    constexpr uint16_t maps[] = {0xffff, 0x0f00, 0x3800, 0x3a00, 0xffff, 0x0500, 0x0600, 0xffff};
    auto one = cursor.take<uint8_t>();
    uint8_t map = 1;
    uint8_t last = one;
    instruction.rex = static_cast<uint8_t>(~one >> 5 & 4);
    if (first != 0xc5) {
        map = first == 0xc4 ? one & 31 : one & 7;
        last = cursor.take<uint8_t>();
        instruction.rex = static_cast<uint8_t>((~one >> 5 & 7) | (last >> 4 & 8));
    }
    if (first == 0x62) {
        cursor.take<uint8_t>();
    }
    instruction.isVector = true;
    instruction.prefix = prefixes[last & 3];
    instruction.extraRegister = static_cast<uint8_t>(~last >> 3 & 15);
    instruction.opcode = map < 8 ? maps[map] : uint16_t{0xffff};
    return instruction.opcode != 0xffff && (first == 0x62 || map < 4);
}

Form vectorForm(ByteCursor &cursor, uint8_t first, Instruction &instruction) {
    if (!takeVectorPrefix(cursor, first, instruction)) {
        return unknown;
    }
    auto op = cursor.take<uint8_t>();
    bool isThird = instruction.opcode == 0x3a00;
    bool isFirst = instruction.opcode == 0x0f00;
    instruction.opcode |= op;
    return {true, !(isFirst && op == 0x77), isThird || (isFirst && hasByteImmediate(op)) ? 1 : 0};
}

Form formOf(ByteCursor &cursor, uint8_t op, Instruction &instruction) {
    if (op == 0x62 || op == 0xc4 || op == 0xc5) {
        return vectorForm(cursor, op, instruction);
    }
    if (op != 0x0f) {
        instruction.opcode = op;
        return oneByteForm(op, instruction);
    }
    op = cursor.take<uint8_t>();
    if (op != 0x38 && op != 0x3a) {
        instruction.opcode = static_cast<uint16_t>(0x0f00 | op);
        return twoByteForm(op);
    }
    instruction.opcode = static_cast<uint16_t>(op << 8 | cursor.take<uint8_t>());
    return {true, true, op == 0x3a ? 1 : 0};
}

bool isBranch(uint16_t op) {
    return op == 0xe8 || op == 0xe9 || (op >= 0x0f80 && op <= 0x0f8f);
}

/** Takes the legacy prefixes and REX, which counts only where it stands last. Gives the byte that follows. */
uint8_t takePrefixes(ByteCursor &cursor, Instruction &instruction, bool &isShortAddress) {
    for (size_t i = 0; i < maxInstructionBytes; i++) {
        auto byte = cursor.take<uint8_t>();
        if (byte == 0x66) {
            instruction.isShort = true;
            instruction.prefix = instruction.prefix == 0 ? byte : instruction.prefix;
        } else if (byte == 0xf2 || byte == 0xf3) {
            instruction.prefix = byte;
        } else if (byte == 0x67) {
            isShortAddress = true;
        } else if ((byte & 0xf0) == 0x40) {
            instruction.rex = byte;
            continue;
        } else if (byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65 &&
                   byte != 0xf0) {
            return byte;
        }
        instruction.rex = 0;
    }
    return 0;
}

} // namespace

Instruction decodeInstruction(const uint8_t *bytes, size_t sizeBytes) {
    ByteCursor cursor(bytes, bytes + sizeBytes);
    Instruction instruction;
    bool isShortAddress = false;
    uint8_t op = takePrefixes(cursor, instruction, isShortAddress);
    Form form = formOf(cursor, op, instruction);
    if (form.hasModrm) {
        takeOperand(cursor, instruction);
    }
    // test r/m, imm shares its opcodes with not, neg, mul and div.
    if (instruction.opcode == 0xf6 || instruction.opcode == 0xf7) {
        form.immediateBytes = instruction.operation() < 2 ? (op == 0xf6 ? 1 : 4) : 0;
    }
    if (form.immediateBytes == 8 && instruction.opcode < 0xb0) {
        form.immediateBytes = isShortAddress ? 4 : 8;
    } else if (form.immediateBytes == 4 && instruction.isShort && !isBranch(instruction.opcode)) {
        form.immediateBytes = 2;
    }
    instruction.immediate = takeSigned(cursor, form.immediateBytes);
    if (form.isKnown && cursor.isGood() && sizeBytes - cursor.left() <= maxInstructionBytes) {
        instruction.sizeBytes = sizeBytes - cursor.left();
    }
    return instruction;
}

} // namespace hotspan::unwind
