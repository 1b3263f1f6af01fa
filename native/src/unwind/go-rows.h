/**
 * Rows of Go functions. Go binaries have no .eh_frame; the runtime's own table (pclntab) has for each address how far
 * rsp is below its value at entry, and functions with a frame save rbp first thing. Format: Go's src/runtime/symtab.go
 * and src/cmd/internal/obj/x86/obj6.go (prologues), versions 1.18 to 1.26.
 */
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "../symbols/byte-source.h"
#include "../symbols/elf-file.h"
#include "../symbols/go-module.h"
#include "byte-window.h"
#include "cfi-program.h"
#include "cfi-section.h"
#include "code-range.h"

namespace hotspan::unwind {

class GoRows {
  public:
    /** All must outlive the rows. */
    GoRows(const symbols::ByteSource &source, const symbols::ElfFile &elf, const symbols::GoModule &module);

    void collect(const CodeSegments &code, std::vector<CodeRange> &ranges);
    /** Gives the rows of a function of collect(). False where its description is damaged. */
    bool rowsOf(const CodeRange &range, uint64_t end, RowSink &sink);

  private:
    struct Function {
        uint64_t entry = 0;
        uint32_t nameOffset = 0;
        uint32_t depthsOffset = 0;
        uint8_t flags = 0;
    };
    /** rsp is `bytes` below its value at entry up to the address `end`. */
    struct Depth {
        uint64_t end = 0;
        int32_t bytes = 0;
    };
    /** Addresses in a function; 0: it has no such place. */
    struct Places {
        /** From here on the caller's rbp stands at CFA - 16; from here on rbp points there. */
        uint64_t isSavedFrom = 0;
        uint64_t isSetFrom = 0;
        /** Behind the first instruction that loads rsp from elsewhere. */
        uint64_t isSwitchedFrom = 0;
    };

    std::optional<Function> functionAt(uint32_t record);
    bool readDepths(const Function &function, uint64_t end);
    bool readDepths(const Function &function, uint64_t end, size_t sizeBytes);
    bool stepRows(const Function &function, uint64_t end, RowSink &sink);
    bool isSignalReturn(uint64_t address);
    uint32_t switchedRuleOf(const Function &function, const Places &places);
    void findPrologue(Places &places);
    void findSwitch(const Function &function, uint64_t end, Places &places);
    uint32_t ruleAt(const Places &places, uint64_t address, int32_t depth, uint32_t switchedRule) const;
    bool isNamed(const Function &function, const char *name);
    const uint8_t *codeAt(uint64_t address, size_t sizeBytes);

    const symbols::GoModule &module_;
    const symbols::ElfFile &elf_;
    /** Each for what is read in its own order. */
    ByteWindow functions_;
    ByteWindow records_;
    ByteWindow depths_;
    ByteWindow names_;
    ByteWindow code_;
    /** Of the function at hand. */
    std::vector<Depth> steps_;
};

} // namespace hotspan::unwind
