/** Finding, making and forgetting of modules. */
#include "module-store.h"

#include <algorithm>
#include <unistd.h>
#include <vector>

namespace hotspan::symbols {
namespace {

// A busy container host has about 2,000 different mapped files. The bound holds a host's memory at about 20 MB if
// something maps new files without end.
constexpr size_t maxModules = 32768;
// Files wait open for their symbols to be read, normally for less than a second.
constexpr size_t maxDescriptors = 256;

std::string withoutDeleted(const std::string &path) {
    constexpr std::string_view mark = " (deleted)";
    return path.ends_with(mark) ? path.substr(0, path.size() - mark.size()) : path;
}

/** No file, or one without a name that anyone could open: memory made at run time. */
bool isAnonymous(const std::string &path) {
    return path.empty() || path[0] != '/' || path.starts_with("//") || path.starts_with("/dev/zero") ||
           path.starts_with("/SYSV") || path.starts_with("/anon_hugepage");
}

} // namespace

ModuleStore::ModuleStore() {
    auto addFixed = [this](uint32_t id, ModuleType type, const char *path) {
        auto module = std::make_shared<Module>();
        module->id = id;
        module->type = type;
        module->path = path;
        modules_.emplace(id, std::move(module));
    };
    addFixed(unknown, ModuleType::unknown, "[unknown]");
    addFixed(kernelImage, ModuleType::kernelImage, "[kernel]");
    addFixed(vdso, ModuleType::vdso, "[vdso]");
    addFixed(vsyscall, ModuleType::special, "[vsyscall]");
    addFixed(uprobes, ModuleType::special, "[uprobes]");
}

std::shared_ptr<Module> ModuleStore::find(uint32_t id) const {
    auto found = modules_.find(id);
    return found == modules_.end() ? nullptr : found->second;
}

std::shared_ptr<Module> ModuleStore::add(ModuleType type, std::shared_ptr<JitCode> jit) {
    makeRoom();
    auto module = std::make_shared<Module>();
    module->id = nextId_++;
    module->type = type;
    module->path = type == ModuleType::jit ? "[jit]" : "[kernel]";
    module->jit = std::move(jit);
    modules_.emplace(module->id, module);
    return module;
}

std::shared_ptr<Module> ModuleStore::ofMapping(int pid, const Mapping &mapping, const std::string &path) {
    if (path == "[vdso]") {
        return find(vdso);
    }
    if (path == "[vsyscall]" || path == "[uprobes]") {
        return find(path == "[vsyscall]" ? vsyscall : uprobes);
    }
    if (isAnonymous(path)) {
        return nullptr;
    }
    FileSighting sighting{pid, mapping.start, mapping.end, mapping.inode, path};
    bool isDeleted = true;
    std::shared_ptr<ObjectFile> file = fileOf(sighting, isDeleted);
    // A memfd may hold a library or be a JIT compiler's memory.
    if (path.starts_with("/memfd:") && (!file || !file->elf)) {
        return nullptr;
    }
    return moduleOf(mapping, isDeleted ? withoutDeleted(path) : path, std::move(file));
}

std::shared_ptr<Module> ModuleStore::ofCaptured(int pid, const CapturedCode &code) {
    if (code.path == "[vdso]") {
        return find(vdso);
    }
    if (isAnonymous(code.path) || code.path.starts_with("/memfd:")) {
        return nullptr;
    }
    FileSighting sighting{pid, code.mapping.start, code.mapping.end, code.mapping.inode, code.path};
    return moduleOf(code.mapping, withoutDeleted(code.path), fileOfCaptured(code, sighting));
}

std::shared_ptr<ObjectFile> ModuleStore::fileOfCaptured(const CapturedCode &code, const FileSighting &sighting) {
    auto known = code.key ? files_.find(*code.key) : files_.end();
    if (known != files_.end()) {
        return known->second;
    }
    for (int root : {sighting.pid, code.parentPid, static_cast<int>(getpid())}) {
        std::optional<OpenedFile> opened = root == 0 ? std::nullopt : openFileInRootOf(root, sighting.path);
        bool isSame = opened && (code.key ? opened->key == *code.key : opened->key.inode == sighting.inode);
        if (!isSame) {
            continue;
        }
        known = files_.find(opened->key);
        return known != files_.end() ? known->second : addFile(std::move(*opened), sighting);
    }
    return nullptr;
}

std::shared_ptr<Module> ModuleStore::moduleOf(const Mapping &mapping, std::string path,
                                              std::shared_ptr<ObjectFile> file) {
    std::string name = file ? std::to_string(reinterpret_cast<uintptr_t>(file.get()))
                            : std::to_string(mapping.deviceMajor) + "," + std::to_string(mapping.deviceMinor) + "," +
                                  std::to_string(mapping.inode);
    name += ":" + path;
    auto known = idByName_.find(name);
    if (known != idByName_.end()) {
        if (std::shared_ptr<Module> module = find(known->second)) {
            return module;
        }
    }
    std::shared_ptr<Module> module = add(ModuleType::file);
    module->path = std::move(path);
    module->file = std::move(file);
    idByName_[name] = module->id;
    return module;
}

std::shared_ptr<ObjectFile> ModuleStore::fileOf(const FileSighting &sighting, bool &isDeleted) {
    // Most files are known from other processes: a look without opening them is a quarter of the work.
    if (std::optional<FileStatus> status = statMappedFile(sighting)) {
        if (auto known = files_.find(status->key); known != files_.end()) {
            known->second->sighting = sighting;
            isDeleted = status->isDeleted;
            return known->second;
        }
    }
    std::optional<OpenedFile> opened = openMappedFile(sighting);
    if (!opened) {
        return nullptr;
    }
    isDeleted = opened->isDeleted;
    auto known = files_.find(opened->key);
    return known != files_.end() ? known->second : addFile(std::move(*opened), sighting);
}

std::shared_ptr<ObjectFile> ModuleStore::addFile(OpenedFile opened, const FileSighting &sighting) {
    auto file = std::make_shared<ObjectFile>();
    file->key = opened.key;
    file->elf = ElfFile::read(ByteSource::ofFile(opened.fd.get()));
    file->sighting = sighting;
    file->lastUse = ++uses_;
    std::string content = file->contentKey();
    if (!content.empty()) {
        std::weak_ptr<ObjectFile> &other = fileByContent_[content];
        if (std::shared_ptr<ObjectFile> same = other.lock()) {
            files_.emplace(opened.key, same);
            return same;
        }
        other = file;
    }
    if (file->elf) {
        file->fd = std::move(opened.fd);
        if (++openDescriptors_ > maxDescriptors) {
            closeOldestDescriptor();
        }
    }
    files_.emplace(opened.key, file);
    return file;
}

void ModuleStore::closeOldestDescriptor() {
    // Counted anew: the reader takes descriptors away without telling.
    openDescriptors_ = 0;
    ObjectFile *oldest = nullptr;
    for (const auto &[key, file] : files_) {
        openDescriptors_ += static_cast<bool>(file->fd);
        if (file->fd && (oldest == nullptr || file->lastUse < oldest->lastUse)) {
            oldest = file.get();
        }
    }
    if (openDescriptors_ > maxDescriptors) {
        oldest->fd.reset();
        openDescriptors_--;
    }
}

void ModuleStore::makeRoom() {
    if (modules_.size() < maxModules) {
        return;
    }
    // First those that no process has mapped now; of these and, if that is not enough, of all the oldest quarter.
    std::vector<std::pair<bool, uint32_t>> order;
    for (const auto &[id, module] : modules_) {
        if (module->type == ModuleType::file || module->type == ModuleType::jit ||
            module->type == ModuleType::kernelDynamic) {
            order.emplace_back(module.use_count() > 1, id);
        }
    }
    size_t count = std::min(order.size(), maxModules / 4);
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end());
    for (size_t i = 0; i < count; i++) {
        modules_.erase(order[i].second);
    }
    std::erase_if(idByName_, [this](const auto &entry) { return !modules_.contains(entry.second); });
    std::erase_if(files_, [](const auto &entry) { return entry.second.use_count() == 1; });
    std::erase_if(fileByContent_, [](const auto &entry) { return entry.second.expired(); });
}

void ModuleStore::renew(const std::string &buildId) {
    std::vector<std::shared_ptr<Module>> renewed;
    for (const auto &[id, module] : modules_) {
        // A module stands here once for each id that it had.
        if (module->id == id && module->file && module->file->buildId() == buildId) {
            renewed.push_back(module);
        }
    }
    for (const std::shared_ptr<Module> &module : renewed) {
        module->file->isStale = true;
        module->id = nextId_++;
        modules_.emplace(module->id, module);
    }
}

void ModuleStore::evictTables(size_t maxBytes, const ObjectFile *keep) {
    std::vector<ObjectFile *> withTable;
    size_t bytes = tableBytes();
    for (const auto &[key, file] : files_) {
        if (file->table) {
            withTable.push_back(file.get());
        }
    }
    std::sort(withTable.begin(), withTable.end(), [](auto *a, auto *b) { return a->lastUse < b->lastUse; });
    for (ObjectFile *file : withTable) {
        if (bytes <= maxBytes) {
            return;
        }
        // Copies of a file share one object: it stands here once for each.
        if (file != keep && file->table) {
            bytes -= file->symbolBytes();
            file->dropSymbols();
        }
    }
}

size_t ModuleStore::tableBytes() const {
    std::vector<const ObjectFile *> seen;
    for (const auto &[key, file] : files_) {
        if (file->table) {
            seen.push_back(file.get());
        }
    }
    // Copies of a file share one object.
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    size_t bytes = 0;
    for (const ObjectFile *file : seen) {
        bytes += file->symbolBytes();
    }
    return bytes;
}

size_t ModuleStore::jitBytes() const {
    std::vector<const JitCode *> seen;
    for (const auto &[id, module] : modules_) {
        if (module->jit) {
            seen.push_back(module->jit.get());
        }
    }
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    size_t bytes = 0;
    for (const JitCode *jit : seen) {
        bytes += jit->bytes();
    }
    return bytes;
}

size_t ModuleStore::bytes() const {
    size_t bytes = 0;
    for (const auto &[id, module] : modules_) {
        bytes += sizeof *module + 2 * module->path.capacity() + 128;
    }
    for (const auto &[key, file] : files_) {
        bytes += sizeof *file + file->sighting.path.capacity() + 256;
    }
    return bytes;
}

} // namespace hotspan::symbols
