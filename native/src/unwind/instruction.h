/** Lengths of x86-64 instructions: Intel's manual, volume 2, appendix A; what compilers make of C without AVX. */
#pragma once

#include <cstddef>
#include <cstdint>

namespace hotspan::unwind {

struct Instruction {
    /** 0: not known, or cut short. */
    size_t sizeBytes = 0;
    uint8_t rex = 0;
    /** 0x0f00 and more: of the two-byte map. */
    uint16_t opcode = 0;
    /** 0 where it has none. */
    uint8_t modrm = 0;
    /** Sign-extended; 0 where it has none. */
    int64_t immediate = 0;
    int64_t displacement = 0;
};

Instruction decodeInstruction(const uint8_t *bytes, size_t sizeBytes);

} // namespace hotspan::unwind
