/**
 * Modules: what code belongs to, by small ids that are never given twice. A module is a file under the path by which a
 * process has it mapped (many modules may share one file's symbols), or one of the places that are no file. Not locked:
 * the engine's lock guards it.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "captured-code.h"
#include "jit-code.h"
#include "object-file.h"

namespace hotspan::symbols {

/** `special`: a page of the kernel's in user space, such as [vsyscall] or [uprobes]. */
enum class ModuleType : uint8_t { unknown, file, vdso, special, jit, kernelImage, kernelDynamic };

struct Module {
    uint32_t id = 0;
    ModuleType type = ModuleType::unknown;
    /** As the process sees it, without " (deleted)". */
    std::string path;
    /** Empty where the file could not be opened. */
    std::shared_ptr<ObjectFile> file;
    std::shared_ptr<JitCode> jit;
};

class ModuleStore {
  public:
    static constexpr uint32_t unknown = 0, kernelImage = 1, vdso = 2, vsyscall = 3, uprobes = 4;

    ModuleStore();

    /** Module of an executable mapping of a process; opens the file at its first sight. Null where it is JIT code. */
    std::shared_ptr<Module> ofMapping(int pid, const Mapping &mapping, const std::string &path);
    /** Of a mapping that its process may not have any more; null where it is no file's. */
    std::shared_ptr<Module> ofCaptured(int pid, const CapturedCode &code);
    /** A new module each time. */
    std::shared_ptr<Module> add(ModuleType type, std::shared_ptr<JitCode> jit = nullptr);
    std::shared_ptr<Module> find(uint32_t id) const;

    /** Files with this build id are to be read anew; their modules go by new ids from now on. */
    void renew(const std::string &buildId);

    /** A symbol table was loaded or used: it is the last to go. */
    void touch(ObjectFile &file) { file.lastUse = ++uses_; }
    /** Drops tables, least recently used first, until all take at most maxBytes; `keep` stays. */
    void evictTables(size_t maxBytes, const ObjectFile *keep);
    size_t tableBytes() const;
    size_t jitBytes() const;

    size_t size() const { return modules_.size(); }
    size_t fileCount() const { return files_.size(); }
    size_t bytes() const;

  private:
    struct KeyHash {
        size_t operator()(const FileKey &key) const {
            return key.inode * 0x9e3779b97f4a7c15ULL ^ key.device ^ key.mtimeNs * 31 ^ key.sizeBytes;
        }
    };
    std::shared_ptr<ObjectFile> fileOf(const FileSighting &sighting, bool &isDeleted);
    std::shared_ptr<ObjectFile> fileOfCaptured(const CapturedCode &code, const FileSighting &sighting);
    std::shared_ptr<Module> moduleOf(const Mapping &mapping, std::string path, std::shared_ptr<ObjectFile> file);
    std::shared_ptr<ObjectFile> addFile(OpenedFile opened, const FileSighting &sighting);
    void makeRoom();
    void closeOldestDescriptor();

    uint32_t nextId_ = 5;
    uint64_t uses_ = 0;
    size_t openDescriptors_ = 0;
    std::unordered_map<uint32_t, std::shared_ptr<Module>> modules_;
    std::unordered_map<std::string, uint32_t> idByName_;
    std::unordered_map<FileKey, std::shared_ptr<ObjectFile>, KeyHash> files_;
    std::unordered_map<std::string, std::weak_ptr<ObjectFile>> fileByContent_;
};

} // namespace hotspan::symbols
