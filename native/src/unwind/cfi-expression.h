/**
 * The DWARF expressions that call frame information has in practice, as patterns. There is no interpreter: a BPF
 * program would have to have one as well. Format: DWARF 5, section 2.5 and 7.7.1.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace hotspan::unwind {

/** DWARF numbers of x86-64 registers (System V psABI, figure 3.36). */
constexpr uint64_t dwarfRbp = 6;
constexpr uint64_t dwarfRsp = 7;
constexpr uint64_t dwarfRip = 16;

enum class ExpressionKind : uint8_t {
    unsupported,
    /** reg + offset */
    address,
    /** *(reg + offset) + addend */
    dereference,
    /** rsp + 8 + ((rip & 15) >= offset ? 8 : 0) */
    plt,
};

struct Expression {
    ExpressionKind kind = ExpressionKind::unsupported;
    uint8_t reg = 0;
    int64_t offset = 0;
    int64_t addend = 0;
};

Expression parseExpression(const uint8_t *bytes, size_t sizeBytes);

} // namespace hotspan::unwind
