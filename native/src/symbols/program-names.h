/**
 * All names of one program or library: the symbols of the file itself, of its minidebuginfo (.gnu_debugdata, an ELF
 * file packed by xz that Fedora and its relatives put into stripped files) and of its separate debug file; and its
 * DWARF.
 */
#pragma once

#include <memory>

#include "debug-finder.h"
#include "go-symbols.h"
#include "symbol-table.h"

namespace hotspan::symbols {

struct ProgramNames {
    std::shared_ptr<const SymbolTable> table;
    /** Null where there is no debug information. */
    std::shared_ptr<DebugInfo> debug;
    /** Null where it is no Go program, or a damaged one. */
    std::shared_ptr<const GoSymbols> go;
    bool isGo = false;
};

/** `fetched`: as for findDebugFile(). */
ProgramNames loadProgramNames(const std::shared_ptr<DebugFile> &program, const ProgramPlace &place,
                              const std::string &fetched);

} // namespace hotspan::symbols
