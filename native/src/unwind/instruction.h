/**
 * x86-64 instructions as far as their lengths and their operands, and which general registers they write: Intel's
 * manual, volume 2, chapter 2 and appendix A. Of all maps, VEX and EVEX included.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace hotspan::unwind {

/** Registers by their numbers in instructions. */
constexpr uint8_t numberOfRsp = 4;
constexpr uint8_t numberOfRbp = 5;
constexpr uint8_t noRegister = 0xff;
/** The processor refuses longer ones. */
constexpr size_t maxInstructionBytes = 15;

struct Instruction {
    /** 0: not known, or cut short. */
    size_t sizeBytes = 0;
    /** Its four low bits are those of a VEX or EVEX prefix too, where that stands in its place. */
    uint8_t rex = 0;
    /** The two-byte map from 0x0f00 on, 0f 38 from 0x3800, 0f 3a from 0x3a00; EVEX's maps 5 and 6 from 0x0500, 0x0600.
     */
    uint16_t opcode = 0;
    /** 0 where it has none. */
    uint8_t modrm = 0;
    bool hasModrm = false;
    /** VEX or EVEX. */
    bool isVector = false;
    /** 0x66, 0xf2 or 0xf3: the last one that counts, as VEX and EVEX have it too; 0: none. */
    uint8_t prefix = 0;
    bool isShort = false;
    /** What VEX and EVEX have beside modrm's two registers. */
    uint8_t extraRegister = noRegister;
    /** Of the operand in memory; noRegister where it has none. Relative to rip: neither, and isRipRelative. */
    uint8_t base = noRegister;
    uint8_t index = noRegister;
    bool isRipRelative = false;
    /** Sign-extended; 0 where it has none. */
    int64_t immediate = 0;
    int64_t displacement = 0;

    bool isWide() const { return (rex & 8) != 0; }
    bool isRegisterForm() const { return hasModrm && modrm >> 6 == 3; }
    /** modrm's middle field as it is, which tells operations apart, and as a register. */
    uint8_t operation() const { return modrm >> 3 & 7; }
    uint8_t reg() const { return static_cast<uint8_t>((modrm >> 3 & 7) | (rex & 4) << 1); }
    uint8_t rm() const { return static_cast<uint8_t>((modrm & 7) | (rex & 1) << 3); }
    /** The register in the opcode's low bits. */
    uint8_t opcodeRegister() const { return static_cast<uint8_t>((opcode & 7) | (rex & 1) << 3); }
};

Instruction decodeInstruction(const uint8_t *bytes, size_t sizeBytes);

/**
 * The general registers that it may write, one bit each, but for rsp in what pushes, pops, calls and returns. No
 * register is left out that is written; those that are named without need are ones that no compiler keeps a frame in.
 */
uint32_t writtenRegisters(const Instruction &instruction);

} // namespace hotspan::unwind
