/** The symbolizer's core: interning on one side, naming on the other. */
#include "symbol-engine.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <sys/auxv.h>
#include <unistd.h>

#include "clock.h"
#include "demangle.h"
#include "elf-symbols.h"

namespace hotspan::symbols {
namespace {

// 16 bytes an entry and, in a table between a quarter and half full, up to 16 for finding it.
constexpr size_t bytesPerLocation = 32;
constexpr size_t maxLocations = 4U << 20;
constexpr size_t minLocations = 64U << 10;
// Ids looked up under one hold of the lock, so that locate() never waits for more than some microseconds.
constexpr size_t idsPerLock = 256;
// How long code that can be replaced (JIT, modules, BPF programs) may go by an old name.
constexpr uint64_t checkIntervalNs = nsPerS;

std::string withOffset(std::string_view module, uint64_t offset) {
    char text[24];
    snprintf(text, sizeof text, "+0x%" PRIx64, offset);
    return std::string(module) + text;
}

FrameKind kindOfRuntime(Runtime runtime) {
    switch (runtime) {
    case Runtime::node:
        return FrameKind::v8js;
    case Runtime::jvm:
        return FrameKind::jvm;
    case Runtime::python:
        return FrameKind::cpython;
    case Runtime::unknown:
        break;
    }
    return FrameKind::unresolved;
}

/** Of a named function: code of an engine that is not known is as good as native. */
FrameKind kindOfName(JitName::Engine engine, Runtime runtime) {
    switch (engine) {
    case JitName::Engine::v8:
        return FrameKind::v8js;
    case JitName::Engine::v8Builtin:
        return FrameKind::native;
    case JitName::Engine::python:
        return FrameKind::cpython;
    case JitName::Engine::unknown:
        break;
    }
    return runtime == Runtime::unknown ? FrameKind::native : kindOfRuntime(runtime);
}

/** Symbols of the vdso mapped into ourselves: the kernel gives the same image to every process of 64 bits. */
std::shared_ptr<const SymbolTable> readVdso() {
    auto *image = reinterpret_cast<const void *>(getauxval(AT_SYSINFO_EHDR));
    uint64_t begin = reinterpret_cast<uint64_t>(image);
    std::optional<Mappings> maps = image == nullptr ? std::nullopt : readMappings(static_cast<int>(getpid()), 65536);
    const Mapping *mapping = maps ? maps->find(begin) : nullptr;
    if (mapping == nullptr) {
        return std::make_shared<SymbolTable>();
    }
    ByteSource source = ByteSource::ofMemory(image, mapping->end - begin);
    std::optional<ElfFile> elf = ElfFile::read(source);
    if (!elf) {
        return std::make_shared<SymbolTable>();
    }
    return std::make_shared<const SymbolTable>(loadSymbols(source, *elf, elf->readSections(source), {}));
}

} // namespace

const char *frameKindName(FrameKind kind) {
    static const char *const names[] = {"kernel", "native", "go", "v8js", "jvm", "cpython", "rust", "unresolved"};
    return names[static_cast<size_t>(kind)];
}

SymbolEngine::SymbolEngine(size_t maxBytes)
    : maxBytes_(maxBytes), processes_(modules_),
      locations_(std::clamp(maxBytes / 4 / bytesPerLocation, minLocations, maxLocations)) {}

void SymbolEngine::warmUp() {
    noteKernelTable(kernel_.table());
}

uint32_t SymbolEngine::kernelModuleOf(uint64_t address, uint64_t nowNs) {
    if (!kernelTable_ || !kernelTable_->isDynamic(address)) {
        return ModuleStore::kernelImage;
    }
    if (nowNs - kernelCheckedNs_ > checkIntervalNs) {
        kernelCheckedNs_ = nowNs;
        needsMaintenance_ = true;
    }
    return kernelDynamic_;
}

uint32_t SymbolEngine::moduleIdOf(const std::shared_ptr<Module> &module, uint64_t nowNs) {
    JitCode *jit = module->jit.get();
    if (jit == nullptr) {
        return module->id;
    }
    if (nowNs - jit->checkedNs > checkIntervalNs) {
        jit->checkedNs = nowNs;
        jitsToCheck_.push_back(module->jit);
        needsMaintenance_ = true;
    }
    return jit->module;
}

void SymbolEngine::maintain() {
    std::vector<std::shared_ptr<JitCode>> jits;
    bool isKernelCheck = false;
    {
        std::lock_guard lock(mutex_);
        needsMaintenance_ = false;
        jits.swap(jitsToCheck_);
        isKernelCheck = kernelTable_ != nullptr && kernelCheckedNs_ != 0;
    }
    for (const std::shared_ptr<JitCode> &jit : jits) {
        if (jit->refresh()) {
            noteReplacedCode(jit);
        }
    }
    if (isKernelCheck) {
        noteKernelTable(kernel_.freshTable(false, true));
    }
}

void SymbolEngine::noteReplacedCode(const std::shared_ptr<JitCode> &jit) {
    std::lock_guard lock(mutex_);
    jit->module = modules_.add(ModuleType::jit, jit)->id;
}

void SymbolEngine::locate(int pid, std::span<const uint64_t> addresses, bool isKernel, uint32_t *ids) {
    std::lock_guard lock(mutex_);
    uint64_t now = coarseNs();
    Process *process = isKernel ? nullptr : processes_.find(pid);
    for (size_t i = 0; i < addresses.size(); i++) {
        // A return address stands after the call, which may be the first byte of another function.
        uint64_t address = addresses[i] - (i > 0 && addresses[i] > 0 ? 1 : 0);
        if (isKernel) {
            ids[i] = locations_.intern(kernelModuleOf(address, now), address);
            continue;
        }
        const Mapping *mapping = process->maps.find(address);
        if (mapping == nullptr && processes_.refresh(*process)) {
            mapping = process->maps.find(address);
        }
        const Process::Resolved *resolved =
            mapping == nullptr
                ? processes_.resolveCaptured(*process, address)
                : &processes_.resolve(*process, static_cast<size_t>(mapping - process->maps.mappings.data()));
        if (resolved == nullptr) {
            // A leaf comes from a register and is true. A caller outside of all code was read from a stack by a frame
            // pointer that was none: any number may stand there, and each a location of its own would fill every table
            // with noise.
            ids[i] = locations_.intern(ModuleStore::unknown, i == 0 ? address : 0);
            continue;
        }
        ids[i] = locations_.intern(moduleIdOf(resolved->module, now), address + resolved->bias);
    }
}

std::vector<Frame> SymbolEngine::describe(std::span<const uint32_t> ids) {
    std::vector<Frame> frames(ids.size());
    std::vector<Wanted> wanted;
    wanted.reserve(ids.size());
    auto forgotten = std::make_shared<const ModuleText>(ModuleText{"[unknown]", ""});
    for (size_t begin = 0; begin < ids.size(); begin += idsPerLock) {
        std::lock_guard lock(mutex_);
        for (size_t i = begin; i < std::min(ids.size(), begin + idsPerLock); i++) {
            frames[i].id = ids[i];
            std::optional<Location> location = locations_.find(ids[i]);
            std::shared_ptr<Module> module = location ? modules_.find(location->module) : nullptr;
            frames[i].address = location ? location->address : 0;
            frames[i].module = forgotten;
            frames[i].lines.push_back({withOffset("[unknown]", frames[i].address), "", 0});
            if (module) {
                wanted.push_back({static_cast<uint32_t>(i), *location, std::move(module)});
            }
        }
    }
    // Module by module, so that each one's symbols are loaded once even when not all fit into memory at a time.
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const Wanted &a, const Wanted &b) { return a.module < b.module; });
    for (size_t begin = 0, end; begin < wanted.size() && !isCancelled_; begin = end) {
        end = begin + 1;
        while (end < wanted.size() && wanted[end].module == wanted[begin].module) {
            end++;
        }
        describeModule(std::span(wanted).subspan(begin, end - begin), frames);
    }
    return frames;
}

void SymbolEngine::describeModule(std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    const Module &module = *wanted[0].module;
    auto text = std::make_shared<const ModuleText>(ModuleText{module.path, module.file ? module.file->buildId() : ""});
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        frame.module = text;
        frame.lines[0].name = withOffset(baseName(module.path), frame.address);
    }
    switch (module.type) {
    case ModuleType::file:
        return describeFile(module, wanted, frames);
    case ModuleType::kernelImage:
    case ModuleType::kernelDynamic:
        return describeKernel(wanted, frames);
    case ModuleType::vdso:
        return describeVdso(wanted, frames);
    case ModuleType::jit:
        return describeJit(module, wanted, frames);
    case ModuleType::special:
        for (const Wanted &one : wanted) {
            frames[one.index].kind = FrameKind::native;
        }
        return;
    case ModuleType::unknown:
        for (const Wanted &one : wanted) {
            if (one.location.address == 0) {
                frames[one.index].lines[0].name = "[unknown]";
            }
        }
        return;
    }
}

void SymbolEngine::describeVdso(std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    if (!vdsoTable_) {
        vdsoTable_ = readVdso();
    }
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        frame.kind = FrameKind::native;
        if (std::optional<SymbolTable::Match> match = vdsoTable_->find(frame.address)) {
            frame.lines[0].name = match->name;
            frame.isGuess = match->isGuess;
        }
    }
}

void SymbolEngine::describeKernel(std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    std::shared_ptr<const KernelTable> table = kernel_.table();
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        frame.kind = FrameKind::kernel;
        std::optional<KernelTable::Match> match = table->find(frame.address);
        // Code that can be unloaded is looked up in a table that is not out of date.
        if (table->isDynamic(frame.address) || !match) {
            table = kernel_.freshTable(!match, true);
            match = table->find(frame.address);
        }
        if (!match) {
            frame.lines[0].name = withOffset("[kernel]", frame.address);
            continue;
        }
        frame.lines[0].name = match->name;
        frame.isGuess = false;
        std::string path = match->module.empty() ? "[kernel]" : "[" + std::string(match->module) + "]";
        if (path != frame.module->path) {
            frame.module = std::make_shared<const ModuleText>(ModuleText{path, ""});
        }
    }
    noteKernelTable(table);
}

void SymbolEngine::noteKernelTable(const std::shared_ptr<const KernelTable> &table) {
    std::lock_guard lock(mutex_);
    if (table != kernelTable_) {
        // Other code may stand now where modules or BPF programs were: locations there begin anew.
        kernelTable_ = table;
        hasBuilt_ = true;
        kernelDynamic_ = modules_.add(ModuleType::kernelDynamic)->id;
    }
}

void SymbolEngine::describeJit(const Module &module, std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    bool isChanged = false;
    Runtime runtime = module.jit->runtime();
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        JitCode::Name name = module.jit->find(frame.address);
        isChanged = isChanged || name.isChanged;
        frame.kind = kindOfRuntime(runtime);
        if (!name.raw) {
            frame.lines[0].name =
                withOffset(name.hasNames || runtime != Runtime::unknown ? "[jit]" : "[anon]", frame.address);
            continue;
        }
        JitName parsed = parseJitName(*name.raw);
        // The line in the jitdump may be of a function from another file that is inlined there, whose name is not told.
        bool isOwnLine = name.line != 0 && (parsed.file.empty() || withoutScheme(name.file) == parsed.file);
        frame.lines[0] = {std::move(parsed.name), isOwnLine ? withoutScheme(name.file) : std::move(parsed.file),
                          isOwnLine ? name.line : parsed.line};
        frame.isGuess = false;
        frame.kind = kindOfName(parsed.engine, runtime);
    }
    if (isChanged) {
        noteReplacedCode(module.jit);
    }
}

void SymbolEngine::processChanged(int pid) {
    std::lock_guard lock(mutex_);
    processes_.changed(pid);
}

void SymbolEngine::processExited(int pid) {
    std::lock_guard lock(mutex_);
    processes_.exited(pid);
}

namespace {

std::optional<OpenedFile> openExecutable(int pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return openRegularFile(pid, path);
}

std::string buildIdOf(const OpenedFile &file) {
    std::optional<ElfFile> elf = ElfFile::read(ByteSource::ofFile(file.fd.get()));
    return elf ? elf->buildId() : std::string();
}

} // namespace

std::string SymbolEngine::executableBuildId(int pid) {
    std::optional<OpenedFile> file = openExecutable(pid);
    return file ? buildIdOf(*file) : std::string();
}

std::optional<std::string> SymbolEngine::imageBuildId(const ProcessImage &image) {
    std::optional<OpenedFile> file = openExecutable(image.pid);
    // A child mostly has its parent's root; where not (it has just entered a container), the inode tells.
    for (int root : {image.parentPid, getpid()}) {
        if (file && file->key.inode == image.inode) {
            break;
        }
        file = openFileInRootOf(root, image.path);
    }
    return file && file->key.inode == image.inode ? std::optional(buildIdOf(*file)) : std::nullopt;
}

size_t SymbolEngine::fixedBytesLocked() const {
    return (kernelTable_ ? kernelTable_->bytes() : 0) + locations_.bytes() + processes_.bytes() + modules_.bytes() +
           modules_.jitBytes();
}

MemoryUse SymbolEngine::memory() {
    std::lock_guard lock(mutex_);
    return {processes_.size(), modules_.size(), locations_.size(), fixedBytesLocked() + modules_.tableBytes()};
}

} // namespace hotspan::symbols
