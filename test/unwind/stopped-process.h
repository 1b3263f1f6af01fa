/**
 * A process that stands still, as the walk wants it: its mappings, the tables of its files, and its memory. It is one
 * that runs, and is stopped (LiveProcess), or what a core tells of one (CoreProcess).
 */
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core-file.h"
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
    explicit StoppedProcess(MappedFiles &files) : files_(files) {}

    /**
     * Reads the mappings anew, and makes the tables of files that were not seen before. Empty, or why it cannot be
     * done.
     */
    virtual std::string refresh() = 0;
    /** Nothing where there is no such thread, or where only who stopped it knows its registers. */
    virtual const CoreThread *threadOf(int) const { return nullptr; }
    WalkTables tables() { return image_->tables(); }

    struct Code {
        /** nullptr where the address lies in no ELF file. */
        const MappedFile *file = nullptr;
        std::string path;
        uint64_t elfAddress = 0;
    };
    Code find(uint64_t address) const;

  protected:
    /** Executable mappings, by address. */
    void layOut(symbols::Mappings maps);
    /** The descriptor of a file that is mapped there. */
    virtual symbols::UniqueFd openFile(const symbols::Mapping &mapping, const std::string &path) = 0;
    /** nullptr where the mapping is of no ELF file. */
    const MappedFile *fileOf(const symbols::Mapping &mapping, const std::string &path);

  private:
    struct Laid {
        unwind_mapping mapping;
        const MappedFile *file;
    };
    Laid layOutOne(const symbols::Mapping &mapping);

    MappedFiles &files_;
    symbols::Mappings maps_;
    std::unique_ptr<TableImage> image_ = std::make_unique<TableImage>();
    /** As many as maps_.mappings. */
    std::vector<Laid> laid_;
};

class LiveProcess : public StoppedProcess {
  public:
    LiveProcess(MappedFiles &files, int pid);
    std::string refresh() override;
    bool read(uint64_t address, void *to, size_t sizeBytes) override;

  protected:
    symbols::UniqueFd openFile(const symbols::Mapping &mapping, const std::string &path) override;

  private:
    int pid_;
    symbols::UniqueFd memory_;
};

class CoreProcess : public StoppedProcess {
  public:
    CoreProcess(MappedFiles &files, std::string path) : StoppedProcess(files), path_(std::move(path)) {}
    std::string refresh() override;
    bool read(uint64_t address, void *to, size_t sizeBytes) override;
    const CoreThread *threadOf(int tid) const override { return core_.threadOf(tid); }

  protected:
    symbols::UniqueFd openFile(const symbols::Mapping &mapping, const std::string &path) override;

  private:
    /** As much as the core, or the file that is mapped there, holds from there on. */
    size_t readSome(uint64_t address, void *to, size_t sizeBytes);
    void addMapping(symbols::Mappings &maps, const CoreMapping &from);

    std::string path_;
    symbols::UniqueFd file_;
    symbols::ByteSource bytes_;
    CoreFile core_;
    /** Files whose unchanged parts a core leaves out, by path. */
    std::map<std::string, symbols::UniqueFd> left_;
};

} // namespace hotspan::unwind
