/**
 * Where a Go binary keeps what its own tracebacks are made of: the pclntab (functions, lines), the base that function
 * offsets count from, and the function data (trees of inlined calls). Found without symbols, and without section
 * headers. Formats: src/runtime/symtab.go and src/cmd/link/internal/ld/pcln.go of Go 1.18 to 1.26.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "elf-file.h"

namespace hotspan::symbols {

/** The header of a pclntab, all offsets checked to lie in `sizeBytes` and in the order in which the linker writes. */
struct GoTableHeader {
    /** Go 1.20 and later: functions carry a start line, trees of inlined calls have entries of 16 bytes. */
    bool hasStartLine = false;
    uint8_t pcQuantum = 1;
    uint32_t functionCount = 0;
    /** 0 where the linker left it to a relocation (PIE) or out (Go 1.26). */
    uint64_t textStart = 0;
    /** From the beginning of the table. */
    uint64_t nameOffset = 0;
    uint64_t unitOffset = 0;
    uint64_t fileOffset = 0;
    uint64_t pcOffset = 0;
    uint64_t functionOffset = 0;
};

struct GoModule {
    GoTableHeader header;
    /** ELF address and file offset of the pclntab; it ends somewhere before sizeBytes. */
    uint64_t address = 0;
    uint64_t offset = 0;
    uint64_t sizeBytes = 0;
    /** ELF address that the entries of functions count from. */
    uint64_t text = 0;
    /** File offset of the function data; 0 where it was not found: then inlined calls cannot be told. */
    uint64_t dataOffset = 0;
    uint64_t dataBytes = 0;
};

/** Header of a table at a file offset, of at most `sizeBytes`; nothing where there is none that makes sense. */
std::optional<GoTableHeader> readGoTableHeader(const ByteSource &source, uint64_t offset, uint64_t sizeBytes);

/** Nothing where the file is not Go's, of an older Go than 1.18, or not of 64 bits. */
std::optional<GoModule> findGoModule(const ByteSource &source, const ElfFile &file,
                                     const std::vector<Section> &sections);

} // namespace hotspan::symbols
