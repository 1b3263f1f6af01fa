/**
 * Go's table of functions (pclntab), Go 1.18 and later: entry points, names, files, lines, stack depths and inlining,
 * present in stripped binaries as well, since the Go runtime itself needs it. Every offset in it is a claim of a
 * stranger: what lies outside of the table gives nothing.
 * Format: Go's src/runtime/symtab.go and src/cmd/link/internal/ld/pcln.go, versions 1.18 to 1.26.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "byte-source.h"
#include "elf-file.h"

namespace hotspan::symbols {

/** One record of the table. Addresses are ELF addresses; offsets are as in the file, to be given back to GoPclntab. */
struct GoFunction {
    uint64_t entry = 0;
    /** Entry of the next function: padding belongs to the one before it. */
    uint64_t end = 0;
    /** Of the record itself. */
    uint32_t recordOffset = 0;
    /** For GoPclntab::nameAt. */
    uint32_t nameOffset = 0;
    /** Tables for GoPcValues: bytes that rsp is below its value at entry; file index; line. 0: there is none. */
    uint32_t pcspOffset = 0;
    uint32_t pcfileOffset = 0;
    uint32_t pclnOffset = 0;
    /** For GoPclntab::fileAt. */
    uint32_t cuOffset = 0;
    /** Line of the func keyword; 0 before Go 1.20. */
    int32_t startLine = 0;
    uint32_t pcdataCount = 0;
    uint8_t funcdataCount = 0;
    /** Go's abi.FuncID; the numbers change between Go versions, so go by names. */
    uint8_t funcId = 0;
    /** Go's abi.FuncFlag. */
    uint8_t flags = 0;
};

constexpr uint8_t goFlagTopFrame = 1;
constexpr uint8_t goFlagWritesSp = 2;
constexpr uint8_t goFlagAssembly = 4;

/** Index of PCDATA_InlTreeIndex and FUNCDATA_InlTree: abi/symtab.go, the same from 1.18 to 1.26. */
constexpr uint32_t goPcdataInlineIndex = 2;
constexpr uint32_t goFuncdataInlineTree = 3;

/**
 * One step of a pc-value table after the other: `value` holds for [from, to). next() is false at the end of the table
 * and at the first step that is nonsense.
 */
class GoPcValues {
  public:
    bool next();
    uint64_t from = 0;
    uint64_t to = 0;
    int32_t value = -1;

  private:
    friend class GoPclntab;
    GoPcValues(const uint8_t *at, const uint8_t *limit, const GoFunction &function);
    bool readVarint(uint32_t &out);

    const uint8_t *at_;
    const uint8_t *limit_;
    uint64_t end_;
    bool isFirst_ = true;
};

class GoPclntab {
  public:
    /**
     * By section name, or, in a file without section headers, by the magic number in the loaded segments. Reads the
     * table into memory (about a fifth of the binary): keep it only as long as it is needed. Nothing where the file has
     * none; `problem` is then the reason if there is one (too old a version, damaged).
     */
    static std::optional<GoPclntab> read(const ByteSource &source, const ElfFile &elf, std::string &problem);

    /** ELF address of the table itself. */
    uint64_t address() const { return address_; }
    /** 18 (Go 1.18 and 1.19) or 20 (1.20 and later): the format's version. */
    int formatVersion() const { return formatVersion_; }
    uint32_t functionCount() const { return functionCount_; }
    /** By index in order of addresses; nothing where the record is damaged. */
    std::optional<GoFunction> functionAt(uint32_t index) const;
    /** The function that holds an ELF address. */
    std::optional<GoFunction> functionOf(uint64_t address) const;

    /** Views stay valid as long as the GoPclntab. Empty where the offset is nonsense. */
    std::string_view nameAt(uint32_t nameOffset) const;
    /** `fileIndex` is a value of the table at pcfileOffset. */
    std::string_view fileAt(const GoFunction &function, int32_t fileIndex) const;

    /** Steps of one of the function's tables; none where the offset is 0 or nonsense. */
    GoPcValues valuesOf(const GoFunction &function, uint32_t tableOffset) const;
    /** The value at one address; nothing where no step holds it. */
    std::optional<int32_t> valueAt(const GoFunction &function, uint32_t tableOffset, uint64_t address) const;

    /** Offset, for GoPcValues, of the function's PCDATA table of that index; 0 where it has none. */
    uint32_t pcdataOffset(const GoFunction &function, uint32_t index) const;
    /** ELF address of the function's FUNCDATA of that index; nothing where it has none. */
    std::optional<uint64_t> funcdataAddress(const GoFunction &function, uint32_t index) const;

  private:
    bool readHeader();
    bool findModule(const ByteSource &source, const ElfFile &elf);
    std::optional<uint32_t> u32At(uint64_t offset) const;
    std::string_view textAt(uint64_t offset) const;

    std::vector<uint8_t> bytes_;
    uint64_t address_ = 0;
    int formatVersion_ = 0;
    uint32_t functionCount_ = 0;
    /** ELF address that entries are relative to (runtime.text). */
    uint64_t textStart_ = 0;
    /** ELF address that funcdata is relative to (go:func.*); 0 where it was not found. */
    uint64_t funcdataStart_ = 0;
    /** Header fields: offsets of the parts from the table's start. */
    uint64_t nameTable_ = 0;
    uint64_t cuTable_ = 0;
    uint64_t fileTable_ = 0;
    uint64_t valueTable_ = 0;
    uint64_t functionTable_ = 0;
};

} // namespace hotspan::symbols
