/** A process that stands still, as the walk wants it: its mappings, the tables of its files, and its memory. */
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "symbols/byte-source.h"
#include "symbols/elf-file.h"
#include "symbols/proc-maps.h"
#include "unwind/walk.h"

namespace hotspan::unwind {

/** An ELF file that processes have mapped. */
struct MappedFile {
    symbols::ElfFile elf;
    UnwindTable table;
};

/** By path and inode; null for files that are no ELF files. */
using MappedFiles = std::map<std::string, std::unique_ptr<MappedFile>>;

class StoppedProcess : public MemoryReader {
  public:
    StoppedProcess(MappedFiles &files, int pid);

    /** Reads the mappings anew, and makes the tables of files that were not seen before. False where it is gone. */
    bool refresh();
    bool read(uint64_t address, void *to, size_t sizeBytes) override;
    WalkTables tables() { return image_->tables(); }

    struct Code {
        /** nullptr where the address lies in no ELF file. */
        const MappedFile *file = nullptr;
        std::string path;
        uint64_t elfAddress = 0;
    };
    Code find(uint64_t address) const;

  private:
    struct Laid {
        unwind_mapping mapping;
        const MappedFile *file;
    };
    Laid layOut(const symbols::Mapping &mapping);
    const MappedFile *fileOf(const symbols::Mapping &mapping);

    MappedFiles &files_;
    int pid_;
    symbols::UniqueFd memory_;
    symbols::Mappings maps_;
    std::unique_ptr<TableImage> image_ = std::make_unique<TableImage>();
    /** As many as maps_.mappings. */
    std::vector<Laid> laid_;
};

} // namespace hotspan::unwind
