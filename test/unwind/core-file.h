/**
 * A core file of an x86-64 process, as gcore and the kernel write them: memory, mapped files, threads. What it says is
 * taken as a claim of a stranger: all is bounded and checked, and what does not fit is refused with a sentence.
 * Format: System V ABI, gABI chapter 5; notes as in Linux's fs/binfmt_elf.c.
 */
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "symbols/byte-source.h"

namespace hotspan::unwind {

/** Memory of the process; the core holds the first fileSizeBytes of it. */
struct CoreSegment {
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t fileOffset = 0;
    uint64_t fileSizeBytes = 0;
    bool isExecutable = false;
};

/** A part of a file that was mapped, executable or not: the note does not tell. */
struct CoreMapping {
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t fileOffset = 0;
    std::string path;
};

struct CoreThread {
    int tid = 0;
    uint64_t ip = 0;
    /** By DWARF number. */
    std::array<uint64_t, 16> registers = {};
};

struct CoreFile {
    /** Both by address, without overlaps. */
    std::vector<CoreSegment> segments;
    std::vector<CoreMapping> mappings;
    std::vector<CoreThread> threads;
    /** 0 where the core does not tell. */
    uint64_t vdsoAddress = 0;

    const CoreSegment *segmentAt(uint64_t address) const;
    const CoreMapping *mappingAt(uint64_t address) const;
    const CoreThread *threadOf(int tid) const;

    /** Nothing where it is no core that a stack can be read from; `problem` is then why. */
    static std::optional<CoreFile> read(const symbols::ByteSource &source, std::string &problem);
};

} // namespace hotspan::unwind
