/** Reading of jitdump files. */
#include "jit-dump.h"

#include <algorithm>
#include <cstring>

#include "proc-maps.h"

namespace hotspan::symbols {
namespace {

constexpr uint32_t magic = 0x4a695444;
constexpr uint32_t recordLoad = 0, recordMove = 1, recordLines = 2;
constexpr uint64_t loadBytes = 56, linesBytes = 32;
constexpr uint64_t maxFunctionBytes = 256U << 20;
constexpr size_t maxNameBytes = 4096;
// Of one function: V8's largest seen has 3,000.
constexpr uint64_t maxFunctionLines = 65536;
// Handed to the table of names at a time: it is sorted anew each time.
constexpr size_t maxLoaded = 8192;
constexpr size_t maxLoadedBytes = 512U << 10;
constexpr size_t costPerFunction = 8;
// What V8 adds to the address of each line: the size of an ELF header.
constexpr uint64_t v8HeaderBytes = 64;

} // namespace

bool isJitDumpPath(std::string_view path) {
    constexpr std::string_view deleted = " (deleted)";
    if (path.ends_with(deleted)) {
        path.remove_suffix(deleted.size());
    }
    std::string_view name = baseName(path);
    return name.starts_with("jit-") && name.ends_with(".dump");
}

/** Small reads one after the other, each a copy out of one large read. */
class JitDump::Reader {
  public:
    Reader(const ByteSource &source, uint64_t begin) : source_(source), at(begin), buffer_(64U << 10) {}

    bool read(void *out, size_t count) {
        if (!hold(count)) {
            return false;
        }
        memcpy(out, buffer_.data() + (at - from_), count);
        at += count;
        return true;
    }

    /** Up to its NUL or maxBytes; longer than maxNameBytes it is cut. Valid until the next read. */
    std::string_view text(uint64_t maxBytes) {
        size_t wanted = static_cast<size_t>(std::min<uint64_t>(maxBytes, maxNameBytes));
        hold(wanted);
        size_t got = at < from_ + got_ ? std::min<size_t>(wanted, static_cast<size_t>(from_ + got_ - at)) : 0;
        const char *begin = reinterpret_cast<const char *>(buffer_.data() + (got == 0 ? 0 : at - from_));
        std::string_view text(begin, strnlen(begin, got));
        at += std::min<uint64_t>(text.size() + 1, maxBytes);
        return text;
    }

  private:
    bool hold(size_t count) {
        if (at < from_ || at - from_ > got_ || got_ - (at - from_) < count) {
            from_ = at;
            got_ = source_.readSome(at, buffer_.data(), buffer_.size());
        }
        return got_ - (at - from_) >= count;
    }

    const ByteSource &source_;

  public:
    uint64_t at;

  private:
    std::vector<uint8_t> buffer_;
    uint64_t from_ = 0;
    size_t got_ = 0;
};

bool JitDump::readHeader(Reader &reader, uint64_t end) {
    struct {
        uint32_t magic, version, sizeBytes, machine, reserved, pid;
        uint64_t timestamp, flags;
    } header;
    if (!reader.read(&header, sizeof header)) {
        return false;
    }
    isBroken_ =
        header.magic != magic || header.version == 0 || header.sizeBytes < sizeof header || header.sizeBytes > 65536;
    // A file that is shorter than its header says is not begun yet.
    if (!isBroken_ && header.sizeBytes <= end) {
        readTo_ = header.sizeBytes;
    }
    return readTo_ != 0;
}

bool JitDump::update(const ByteSource &source) {
    uint64_t end = source.sizeBytes();
    isReplaced_ = false;
    if (end < readTo_) {
        // Another file of that name, or one that was started anew.
        bool isV8 = isV8_;
        *this = JitDump(limits_, names_.limits());
        isV8_ = isV8;
        isReplaced_ = true;
    }
    if (isBroken_ || end - readTo_ < sizeof(Record)) {
        return isReplaced_;
    }
    Reader reader(source, readTo_);
    if (readTo_ == 0 && !readHeader(reader, end)) {
        return isReplaced_;
    }
    for (size_t i = 0; i < limits_.records && readTo_ + sizeof(Record) <= end; i++) {
        Record record;
        reader.at = readTo_;
        if (!reader.read(&record, sizeof record)) {
            break;
        }
        if (record.sizeBytes < sizeof record) {
            isBroken_ = true;
            break;
        }
        // Not written to its end yet.
        if (record.sizeBytes > end - readTo_) {
            break;
        }
        takeRecord(reader, record);
        readTo_ += record.sizeBytes;
    }
    flush();
    return isReplaced_;
}

void JitDump::takeRecord(Reader &reader, const Record &record) {
    if (record.type == recordLoad && record.sizeBytes > loadBytes) {
        takeLoad(reader, record);
    } else if (record.type == recordMove && record.sizeBytes >= 64) {
        takeMove(reader);
    } else if (record.type == recordLines && record.sizeBytes > linesBytes) {
        takeLines(reader, record);
    }
}

void JitDump::takeLoad(Reader &reader, const Record &record) {
    struct {
        uint32_t pid, tid;
        uint64_t mapped, start, sizeBytes, index;
    } load;
    if (!reader.read(&load, sizeof load)) {
        return;
    }
    std::string_view name = reader.text(record.sizeBytes - loadBytes);
    if (name.empty() || load.sizeBytes == 0 || load.sizeBytes > maxFunctionBytes ||
        load.start > UINT64_MAX - load.sizeBytes) {
        return;
    }
    if (loaded_.size() >= maxLoaded || loadedNames_.size() + name.size() > maxLoadedBytes) {
        flush();
    }
    // The text moves as it grows: only its length is true until flush().
    loaded_.push_back({load.start, load.sizeBytes, name});
    loadedNames_.append(name);
    setLines(load.start, pendingStart_ == load.start ? std::move(pending_) : Lines{});
    pending_ = {};
    pendingStart_ = 0;
}

void JitDump::flush() {
    size_t at = 0;
    for (PerfMapLine &line : loaded_) {
        line.name = std::string_view(loadedNames_).substr(at, line.name.size());
        at += line.name.size();
    }
    isReplaced_ = names_.add(loaded_) || isReplaced_;
    loaded_.clear();
    loadedNames_.clear();
}

void JitDump::takeMove(Reader &reader) {
    struct {
        uint32_t pid, tid;
        uint64_t mapped, from, to, sizeBytes, index;
    } move;
    if (!reader.read(&move, sizeof move)) {
        return;
    }
    flush();
    std::optional<PerfMap::Match> code = names_.findCode(move.from);
    if (!code || code->start != move.from || move.to == move.from || move.sizeBytes == 0 ||
        move.sizeBytes > maxFunctionBytes || move.to > UINT64_MAX - move.sizeBytes) {
        return;
    }
    std::string name(code->name);
    PerfMapLine moved{move.to, move.sizeBytes, name};
    isReplaced_ = names_.add({&moved, 1}) || isReplaced_;
    auto lines = lines_.find(move.from);
    if (lines != lines_.end()) {
        setLines(move.to, Lines{lines->second});
    } else {
        setLines(move.to, {});
    }
}

void JitDump::takeLines(Reader &reader, const Record &record) {
    uint64_t start = 0, count = 0;
    uint64_t end = reader.at + record.sizeBytes - sizeof record;
    if (!reader.read(&start, sizeof start) || !reader.read(&count, sizeof count)) {
        return;
    }
    pendingStart_ = start;
    pending_ = {};
    std::string file;
    for (uint64_t i = 0; i < std::min(count, maxFunctionLines) && reader.at < end; i++) {
        struct {
            uint64_t address;
            uint32_t line, discriminator;
        } entry;
        if (!reader.read(&entry, sizeof entry) || reader.at >= end) {
            return;
        }
        // One byte of 255 stands for the name of the entry before.
        std::string_view name = reader.text(end - reader.at);
        if (name != "\xff") {
            file = name;
        }
        uint64_t offset = entry.address - start;
        if (isV8_) {
            offset -= std::min(offset, v8HeaderBytes);
        }
        if (offset >= maxFunctionBytes) {
            continue;
        }
        pending_.lines.push_back({static_cast<uint32_t>(offset), entry.line, fileOf(file)});
    }
    std::stable_sort(pending_.lines.begin(), pending_.lines.end(),
                     [](const Line &a, const Line &b) { return a.offset < b.offset; });
    auto same = [](const Line &a, const Line &b) { return a.line == b.line && a.file == b.file; };
    pending_.lines.erase(std::unique(pending_.lines.begin(), pending_.lines.end(), same), pending_.lines.end());
    pending_.lines.shrink_to_fit();
}

void JitDump::setLines(uint64_t start, Lines lines) {
    auto known = lines_.find(start);
    if (known != lines_.end()) {
        lineCount_ -= known->second.lines.size() + costPerFunction;
        lines_.erase(known);
    }
    if (!lines.lines.empty()) {
        lines.sequence = ++sequence_;
        lineCount_ += lines.lines.size() + costPerFunction;
        lines_.emplace(start, std::move(lines));
        if (lineCount_ > limits_.lines) {
            shrinkLines();
        }
    }
}

void JitDump::shrinkLines() {
    std::vector<uint64_t> sequences;
    for (const auto &[start, lines] : lines_) {
        sequences.push_back(lines.sequence);
    }
    auto middle = sequences.begin() + static_cast<std::ptrdiff_t>(sequences.size() / 2);
    std::nth_element(sequences.begin(), middle, sequences.end());
    uint64_t first = *middle;
    std::erase_if(lines_, [this, first](const auto &entry) {
        bool isOld = entry.second.sequence <= first;
        lineCount_ -= isOld ? entry.second.lines.size() + costPerFunction : 0;
        return isOld;
    });
}

uint32_t JitDump::fileOf(std::string_view name) {
    auto known = fileByName_.find(name);
    if (known != fileByName_.end()) {
        return known->second;
    }
    if (fileNameBytes_ + name.size() + 128 > limits_.fileNameBytes) {
        return 0;
    }
    fileNameBytes_ += name.size() + 128;
    files_.emplace_back(name);
    fileByName_.emplace(name, static_cast<uint32_t>(files_.size() - 1));
    return static_cast<uint32_t>(files_.size() - 1);
}

std::optional<JitDump::Match> JitDump::find(uint64_t address) {
    std::optional<PerfMap::Match> code = names_.findCode(address);
    if (!code) {
        return std::nullopt;
    }
    Match match{code->name, {}, 0};
    auto known = lines_.find(code->start);
    if (known != lines_.end()) {
        const std::vector<Line> &lines = known->second.lines;
        auto after = std::upper_bound(lines.begin(), lines.end(), address - code->start,
                                      [](uint64_t wanted, const Line &line) { return wanted < line.offset; });
        if (after != lines.begin()) {
            match.file = files_[(after - 1)->file];
            match.line = (after - 1)->line;
        }
    }
    return match;
}

size_t JitDump::bytes() const {
    return names_.bytes() + lineCount_ * sizeof(Line) + 2 * fileNameBytes_ + loaded_.capacity() * sizeof(PerfMapLine) +
           loadedNames_.capacity();
}

} // namespace hotspan::symbols
