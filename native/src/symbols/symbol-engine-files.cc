/** The symbolizer's core: names, files and lines of code that lies in files. */
#include "symbol-engine.h"

#include <algorithm>
#include <unistd.h>

#include "clock.h"
#include "demangle.h"
#include "perf-map.h"
#include "program-names.h"

namespace hotspan::symbols {
namespace {

// What one batch of addresses in one file may take: the first lookup in the debug information of a browser takes a
// second.
constexpr uint64_t maxLookupMs = 4000;
constexpr int maxSlowLookups = 2;

/** The frame's lines by DWARF. Its name by the symbols stays where that is sure: it tells parts and clones of
 * functions. */
void takeLines(const std::vector<SourceLine> &lines, Frame &frame) {
    FrameLine outermost = std::move(frame.lines[0]);
    bool isNamed = !frame.isGuess;
    frame.lines.clear();
    for (const SourceLine &line : lines) {
        frame.lines.push_back({line.name, line.file, line.line});
        if (line.language == Language::rust) {
            frame.kind = FrameKind::rust;
        }
    }
    FrameLine &last = frame.lines.back();
    if (isNamed || last.name.empty()) {
        last.name = std::move(outermost.name);
    } else {
        frame.isGuess = false;
    }
    for (FrameLine &line : frame.lines) {
        if (line.name.empty()) {
            line.name = "[inlined]";
        }
    }
}

} // namespace

void SymbolEngine::describeFile(const Module &module, std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    std::shared_ptr<const SymbolTable> table = module.file ? symbolsOf(module) : nullptr;
    // What Go's own table does not cover in a file of Go's is C.
    bool isGo = module.file && module.file->isGo && !module.file->go;
    if (module.file && module.file->go) {
        describeGo(*module.file, wanted, frames);
    }
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        if (frame.kind == FrameKind::go) {
            continue;
        }
        frame.kind = isGo ? FrameKind::go : FrameKind::native;
        std::optional<SymbolTable::Match> match = table ? table->find(frame.address) : std::nullopt;
        if (!match) {
            continue;
        }
        Demangled demangled = demangle(match->name);
        frame.lines[0].name = isV8Interpreter(match->name) ? "Interpreter" : std::move(demangled.name);
        frame.isGuess = match->isGuess;
        if (demangled.language == Language::rust) {
            frame.kind = FrameKind::rust;
        }
    }
    if (module.file && module.file->debug) {
        nameLines(*module.file, wanted, frames);
    }
}

void SymbolEngine::nameLines(ObjectFile &file, std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    std::shared_ptr<DebugInfo> debug = file.debug;
    WorkLimit limit(maxLookupMs, &isCancelled_);
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        // Lines that Go's own table told are as good.
        if (frame.lines[0].line != 0) {
            continue;
        }
        const std::vector<SourceLine> &lines = debug->find(frame.address, limit);
        if (!lines.empty()) {
            takeLines(lines, frame);
        }
    }
    debug->settle(maxBytes_ / 4);
    keepUnpacked(debug);
    file.slowLookups += limit.isOver() ? 1 : 0;
    std::lock_guard lock(mutex_);
    if (file.slowLookups > maxSlowLookups) {
        file.debug.reset();
    }
    size_t fixed = fixedBytesLocked();
    modules_.evictTables(std::max(maxBytes_ / 4, maxBytes_ > fixed ? maxBytes_ - fixed : 0), &file);
}

void SymbolEngine::keepUnpacked(const std::shared_ptr<DebugInfo> &debug) {
    // Each may hold some descriptors and, on disk, some hundreds of MB.
    constexpr size_t maxUnpacked = 12;
    std::erase_if(unpacked_, [&](const std::weak_ptr<DebugInfo> &one) { return one.expired() || one.lock() == debug; });
    unpacked_.push_front(debug);
    if (unpacked_.size() > maxUnpacked) {
        if (std::shared_ptr<DebugInfo> oldest = unpacked_.back().lock()) {
            oldest->release();
        }
        unpacked_.pop_back();
    }
}

void SymbolEngine::describeGo(ObjectFile &file, std::span<const Wanted> wanted, std::vector<Frame> &frames) {
    UniqueFd fd = file.go->needsFile() ? openAgain(file) : UniqueFd();
    ByteSource source = fd ? ByteSource::ofFile(fd.get()) : ByteSource::ofMemory(nullptr, 0);
    for (const Wanted &one : wanted) {
        Frame &frame = frames[one.index];
        GoCode code = file.go->find(source, frame.address);
        if (code.lines.empty()) {
            continue;
        }
        frame.kind = code.isC ? FrameKind::native : FrameKind::go;
        frame.isGuess = false;
        frame.lines.clear();
        for (GoLine &line : code.lines) {
            frame.lines.push_back({std::move(line.name), std::move(line.file), line.line});
        }
    }
}

UniqueFd SymbolEngine::openAgain(const ObjectFile &file) {
    FileSighting sighting;
    {
        std::lock_guard lock(mutex_);
        sighting = file.sighting;
    }
    std::optional<OpenedFile> opened = openMappedFile(sighting);
    if (!opened || opened->key != file.key) {
        // The process has gone. Unless it lived in a container, its file stands where we see it as well.
        opened = openFileInRootOf(getpid(), sighting.path);
    }
    return opened && opened->key == file.key ? std::move(opened->fd) : UniqueFd();
}

std::shared_ptr<const SymbolTable> SymbolEngine::symbolsOf(const Module &module) {
    ObjectFile &file = *module.file;
    UniqueFd fd;
    ProgramPlace place;
    std::string fetched;
    {
        std::lock_guard lock(mutex_);
        modules_.touch(file);
        if (file.isStale) {
            file.isStale = file.isUnreadable = false;
            file.dropSymbols();
        }
        if (file.table || file.isUnreadable || !file.elf) {
            return file.table;
        }
        fd = std::move(file.fd);
        place = {file.sighting.pid, module.path};
        if (auto found = fetchedDebug_.find(file.buildId()); found != fetchedDebug_.end()) {
            fetched = found->second;
        }
    }
    if (!fd) {
        fd = openAgain(file);
    }
    uint64_t begin = monotonicNs();
    // The file outlives its debug information, which opens it again through this.
    std::shared_ptr<DebugFile> program = DebugFile::open(std::move(fd), [this, &file] { return openAgain(file); });
    ProgramNames names = program ? loadProgramNames(program, place, fetched) : ProgramNames();
    hasBuilt_ = hasBuilt_ || program;
    std::lock_guard lock(mutex_);
    file.isUnreadable = !names.table;
    if (names.table) {
        file.isGo = names.isGo;
        file.readNs = monotonicNs() - begin;
        file.table = names.table;
        file.go = names.go;
        file.debug = names.debug;
        if (!names.debug && fetched.empty()) {
            noteMissingDebugLocked(file.buildId());
        }
        size_t fixed = fixedBytesLocked();
        modules_.evictTables(std::max(maxBytes_ / 4, maxBytes_ > fixed ? maxBytes_ - fixed : 0), &file);
    }
    return names.table;
}

void SymbolEngine::noteMissingDebugLocked(const std::string &buildId) {
    if (isDebugWanted_ && !buildId.empty() && missingDebug_.size() < maxMissingDebug) {
        missingDebug_.insert(buildId);
    }
}

std::vector<std::string> SymbolEngine::takeMissingDebug() {
    std::lock_guard lock(mutex_);
    isDebugWanted_ = true;
    std::vector<std::string> all(missingDebug_.begin(), missingDebug_.end());
    missingDebug_.clear();
    return all;
}

void SymbolEngine::addDebugFile(const std::string &buildId, const std::string &path) {
    std::lock_guard lock(mutex_);
    if (fetchedDebug_.size() < maxFetchedDebug || fetchedDebug_.contains(buildId)) {
        fetchedDebug_[buildId] = path;
        modules_.renew(buildId);
    }
}

} // namespace hotspan::symbols
