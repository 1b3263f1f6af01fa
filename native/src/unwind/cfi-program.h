/**
 * Call frame instructions (DWARF 5, section 6.4.2, and GNU's own) run over the three registers that a walk needs: what
 * the CFA is, and where the caller's rbp, rsp and return address are.
 */
#pragma once

#include <cstdint>

#include "byte-cursor.h"
#include "cfi-expression.h"

namespace hotspan::unwind {

enum class SavedKind : uint8_t {
    /** No instruction said anything. */
    unspecified,
    undefined,
    same,
    /** At CFA + value. */
    atOffset,
    /** Is CFA + value. */
    isOffset,
    /** At the address that the expression gives. */
    atExpression,
    /** Is what the expression gives. */
    isExpression,
    /** In another register. */
    inRegister,
};

struct SavedRegister {
    SavedKind kind = SavedKind::unspecified;
    int64_t offset = 0;
    Expression expression;
};

/** One row of the table that the instructions describe. */
struct FrameState {
    /** kind address: a register and an offset, the plain form. */
    Expression cfa;
    SavedRegister rbp;
    SavedRegister rsp;
    SavedRegister returnAddress;
};

/** The state as a rule of bpf/lib/unwind-table.h; UNWIND_CFA_UNKNOWN where it has no form for it. */
uint32_t ruleOf(const FrameState &state);

/** What instructions need to know from the common information entry. */
struct CfiContext {
    uint64_t codeAlignment = 1;
    int64_t dataAlignment = 1;
    uint8_t pointerEncoding = 0;
    /** For DW_CFA_restore. */
    FrameState initial;
};

/** Takes rows in order of addresses. */
class RowSink {
  public:
    virtual ~RowSink() = default;
    virtual void row(uint64_t address, uint32_t rule) = 0;
};

/** Runs the initial instructions of a common information entry; false where they are nonsense. */
bool runInitialInstructions(CfiContext &context, ByteCursor instructions);

/**
 * Runs a function's instructions and gives its rows, the first at `begin`, none at `end` or later. False where they are
 * nonsense: rows from there on are UNWIND_CFA_UNKNOWN.
 */
bool runInstructions(const CfiContext &context, ByteCursor instructions, uint64_t begin, uint64_t end, RowSink &sink);

} // namespace hotspan::unwind
