/**
 * Rows of a C function out of its code alone, for the few that nothing else describes: Go's linker puts the C side of
 * cgo (threads, names of hosts and users) into programs and drops its .eh_frame. Such functions are short and compiled.
 * The code is gone through once, in order: what moves rsp by a constant, and what saves rbp.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "cfi-program.h"

namespace hotspan::unwind {

/** More code than this is not scanned. */
constexpr size_t maxScannedBytes = 4096;

/**
 * Gives rows from `begin` on for the function's code. False where an instruction is met that moves rsp in another way,
 * or is not known: rows from there on are UNWIND_CFA_NONE.
 */
bool scanCode(const uint8_t *code, size_t sizeBytes, uint64_t begin, RowSink &sink);

} // namespace hotspan::unwind
