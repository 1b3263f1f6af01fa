/** Function symbols out of an ELF file: .symtab, .dynsym and names for PLT stubs. */
#pragma once

#include <functional>

#include "elf-file.h"
#include "symbol-table.h"

namespace hotspan::symbols {

struct FunctionSymbol {
    uint64_t address = 0;
    uint64_t sizeBytes = 0;
    /** End of the section that it stands in. */
    uint64_t sectionEnd = 0;
    /** Without a version ("memcpy@@GLIBC_2.14" is "memcpy"). Valid until the visitor returns. */
    std::string_view name;
    SymbolRank rank = SymbolRank::label;
    bool isDynamic = false;
};

/** Calls `visit` for each defined function symbol of .symtab and .dynsym, in file order, until it returns false. */
void forEachFunctionSymbol(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                           const std::function<bool(const FunctionSymbol &)> &visit);

/** Calls `visit` for each stub of .plt, .plt.sec and .plt.got with "name@plt". x86-64; nothing on other machines. */
void forEachPltStub(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                    const std::function<bool(const FunctionSymbol &)> &visit);

/** The file was made by the Go linker. */
bool isGoFile(const std::vector<Section> &sections);

/** Adds all of the above to a table that is being built. */
void addSymbols(SymbolTableBuilder &builder, const ByteSource &source, const ElfFile &file,
                const std::vector<Section> &sections);
/** The same as a table. */
SymbolTable loadSymbols(const ByteSource &source, const ElfFile &file, const std::vector<Section> &sections,
                        const SymbolTableBuilder::Limits &limits);

} // namespace hotspan::symbols
