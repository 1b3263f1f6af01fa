/** Reading of perf-map files from their tail, and of the names that engines write into them. */
#include "perf-map.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

namespace hotspan::symbols {
namespace {

constexpr size_t readChunkBytes = 256U << 10;
// Chromium's longest are about 300 bytes; C++-like names of other engines reach a few thousand.
constexpr size_t maxNameBytes = 4096;
// Two lines of any perf-map, or about that.
constexpr uint64_t tailBytes = 256;
constexpr uint64_t maxFunctionBytes = 256U << 20;

/**
 * Room for more. A container that is large already gets at once all that it may ever need: to grow it in steps would
 * take the old and the new room at a time, and room that is not used takes no memory.
 */
template <typename Container> void makeRoom(Container &container, size_t more, size_t most) {
    size_t wanted = container.size() + more;
    if (wanted > container.capacity()) {
        container.reserve(std::max(wanted, wanted > most / 8 ? most : 2 * wanted));
    }
}

bool takeHex(std::string_view &text, uint64_t &value) {
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
    }
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc{}) {
        return false;
    }
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    size_t next = text.find_first_not_of(" \t");
    if (next == 0 || next == std::string_view::npos) {
        return false;
    }
    text.remove_prefix(next);
    return true;
}

/** Cuts ":LINE:COLUMN" or ":LINE" off the end of a script's location. */
uint32_t cutLine(std::string_view &text) {
    uint32_t numbers[2] = {0, 0};
    int count = 0;
    while (count < 2) {
        size_t colon = text.rfind(':');
        if (colon == std::string_view::npos || colon + 1 == text.size()) {
            break;
        }
        uint32_t number = 0;
        auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), number);
        if (error != std::errc{} || end != text.data() + text.size()) {
            break;
        }
        numbers[count++] = number;
        text = text.substr(0, colon);
    }
    // The last one taken is the leftmost: LINE where there is a column too.
    return count == 0 ? 0 : numbers[count - 1];
}

/** Where the script's name begins in "name path:line:col": paths may have spaces, names of functions as a rule have
 * none. */
size_t scriptStart(std::string_view text) {
    for (std::string_view mark : {" file://", " node:", " /", " evalmachine.", " http"}) {
        if (size_t at = text.find(mark); at != std::string_view::npos) {
            return at;
        }
    }
    return text.find(' ');
}

/**
 * How much of a name is V8's mark of the tier: ~ interpreter, ^ baseline, + Maglev, * TurboFan, the last two with '
 * behind them where the code holds for one closure only (seen since V8 13; CodeKindToMarker in
 * src/objects/code-kind.cc). One function is one frame in all of them.
 */
size_t tierMarkBytes(std::string_view text) {
    if (text.empty() || std::string_view("~^+*").find(text[0]) == std::string_view::npos) {
        return 0;
    }
    bool isOptimized = text[0] == '+' || text[0] == '*';
    return isOptimized && text.size() > 1 && text[1] == '\'' ? 2 : 1;
}

JitName parseV8(std::string_view text) {
    JitName result;
    result.engine = JitName::Engine::v8;
    text.remove_prefix(tierMarkBytes(text));
    size_t at = scriptStart(text);
    std::string_view script = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
    std::string_view name = text.substr(0, at);
    result.line = cutLine(script);
    if (result.line == 0 && at != std::string_view::npos) {
        name = text;
        script = {};
    }
    result.name = name.empty() ? "(anonymous)" : std::string(name);
    result.file = withoutScheme(script);
    return result;
}

} // namespace

std::optional<PerfMapLine> parsePerfMapLine(std::string_view line) {
    PerfMapLine result;
    if (!takeHex(line, result.start) || !takeHex(line, result.sizeBytes) || line.empty()) {
        return std::nullopt;
    }
    if (line.back() == '\r') {
        line.remove_suffix(1);
    }
    result.name = line.substr(0, maxNameBytes);
    if (result.sizeBytes == 0 || result.sizeBytes > maxFunctionBytes || result.start > UINT64_MAX - result.sizeBytes ||
        result.name.empty()) {
        return std::nullopt;
    }
    return result;
}

bool PerfMap::isRewritten(const ByteSource &source) const {
    std::string now(tail_.size(), '\0');
    return !source.readAt(readTo_ - tail_.size(), now.data(), now.size()) || now != tail_;
}

void PerfMap::noteTail(const ByteSource &source) {
    tail_.resize(static_cast<size_t>(std::min<uint64_t>(readTo_, tailBytes)));
    tail_.resize(source.readSome(readTo_ - tail_.size(), tail_.data(), tail_.size()));
}

bool PerfMap::update(int fd) {
    ByteSource source = ByteSource::ofFile(fd);
    bool isReplaced = false;
    if (source.sizeBytes() < readTo_) {
        // Truncated: another process of the same pid, or one that started its file anew.
        entries_.clear();
        names_.clear();
        liveNameBytes_ = 0;
        readTo_ = 0;
        tail_.clear();
        isCutLine_ = false;
        isReplaced = true;
    } else if (readTo_ > 0 && isRewritten(source)) {
        // Names that stay the same stay; the others are seen to be replaced as they are read.
        readTo_ = 0;
        isCutLine_ = false;
    }
    uint64_t end = source.sizeBytes();
    if (end - readTo_ > limits_.readBytes) {
        readTo_ = end - limits_.readBytes;
        isCutLine_ = true;
    }
    std::string buffer;
    while (readTo_ < end) {
        buffer.resize(static_cast<size_t>(std::min<uint64_t>(readChunkBytes, end - readTo_)));
        buffer.resize(source.readSome(readTo_, buffer.data(), buffer.size()));
        size_t lines = buffer.rfind('\n');
        if (lines == std::string::npos) {
            // A line longer than the buffer is no line of a perf-map: skip it. A short one is not written to its end
            // yet.
            if (buffer.size() < readChunkBytes) {
                break;
            }
            isCutLine_ = true;
            readTo_ += buffer.size();
            continue;
        }
        std::string_view text(buffer.data(), lines + 1);
        if (isCutLine_) {
            text.remove_prefix(text.find('\n') + 1);
            isCutLine_ = false;
        }
        isReplaced = feed(text) || isReplaced;
        readTo_ += lines + 1;
    }
    noteTail(source);
    return isReplaced;
}

bool PerfMap::feed(std::string_view text) {
    std::vector<PerfMapLine> lines;
    while (!text.empty()) {
        size_t end = std::min(text.find('\n'), text.size());
        if (std::optional<PerfMapLine> line = parsePerfMapLine(text.substr(0, end))) {
            lines.push_back(*line);
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return add(lines);
}

bool PerfMap::add(std::span<const PerfMapLine> lines) {
    std::vector<Entry> added;
    added.reserve(lines.size());
    size_t newBytes = 0;
    for (const PerfMapLine &line : lines) {
        newBytes += line.name.size();
    }
    makeRoom(names_, newBytes, limits_.nameBytes + limits_.nameBytes / 8 + 65536 + 2 * readChunkBytes);
    for (const PerfMapLine &line : lines) {
        added.push_back({line.start, static_cast<uint32_t>(line.sizeBytes), static_cast<uint32_t>(names_.size()),
                         static_cast<uint32_t>(line.name.size()), 0});
        names_.append(line.name);
        liveNameBytes_ += line.name.size();
    }
    bool isReplaced = merge(added);
    shrink();
    return isReplaced;
}

bool PerfMap::merge(std::vector<Entry> &added) {
    if (added.empty()) {
        return false;
    }
    bool isReplaced = false;
    size_t old = entries_.size();
    makeRoom(entries_, added.size(), limits_.entries + 16384);
    entries_.insert(entries_.end(), added.begin(), added.end());
    auto byStart = [](const Entry &a, const Entry &b) {
        return a.start != b.start ? a.start < b.start : a.name < b.name;
    };
    std::sort(entries_.begin() + static_cast<std::ptrdiff_t>(old), entries_.end(), byStart);
    std::inplace_merge(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(old), entries_.end(), byStart);
    // Of two that overlap the earlier one is gone: its code was freed before the later one could be put there.
    size_t kept = 0;
    for (size_t i = 0; i < entries_.size(); i++) {
        Entry entry = entries_[i];
        bool isDead = false;
        while (kept > 0 && !isDead && entries_[kept - 1].start + entries_[kept - 1].sizeBytes > entry.start) {
            Entry &last = entries_[kept - 1];
            bool isSame =
                last.start == entry.start && last.sizeBytes == entry.sizeBytes && nameOf(last) == nameOf(entry);
            isDead = last.name > entry.name;
            const Entry &lost = isDead ? entry : last;
            Entry &winner = isDead ? last : entry;
            isReplaced = isReplaced || (!isSame && lost.isUsed != 0);
            winner.isUsed = winner.isUsed | (isSame ? lost.isUsed : 0);
            liveNameBytes_ -= lost.nameBytes;
            kept -= isDead ? 0 : 1;
        }
        if (!isDead) {
            entries_[kept++] = entry;
        }
    }
    entries_.resize(kept);
    return isReplaced;
}

void PerfMap::shrink() {
    bool isFull = entries_.size() > limits_.entries || liveNameBytes_ > limits_.nameBytes;
    if (!isFull && names_.size() <= liveNameBytes_ + liveNameBytes_ / 8 + 65536) {
        return;
    }
    // All of it in place: a copy would double what a process can make us use.
    std::sort(entries_.begin(), entries_.end(), [](const Entry &a, const Entry &b) { return a.name < b.name; });
    if (isFull) {
        // The older half goes: engines that make so much code have thrown it away themselves long ago.
        size_t lost = entries_.size() / 2;
        dropped_ += lost;
        entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(lost));
    }
    size_t end = 0;
    for (Entry &entry : entries_) {
        memmove(names_.data() + end, names_.data() + entry.name, entry.nameBytes);
        entry.name = static_cast<uint32_t>(end);
        end += entry.nameBytes;
    }
    names_.resize(end);
    liveNameBytes_ = end;
    std::sort(entries_.begin(), entries_.end(), [](const Entry &a, const Entry &b) { return a.start < b.start; });
}

std::optional<PerfMap::Match> PerfMap::findCode(uint64_t address) {
    auto after = std::upper_bound(entries_.begin(), entries_.end(), address,
                                  [](uint64_t wanted, const Entry &entry) { return wanted < entry.start; });
    if (after == entries_.begin() || address - (after - 1)->start >= (after - 1)->sizeBytes) {
        return std::nullopt;
    }
    Entry &entry = *(after - 1);
    entry.isUsed = 1;
    return Match{nameOf(entry), entry.start, entry.sizeBytes};
}

std::optional<std::string_view> PerfMap::find(uint64_t address) {
    std::optional<Match> match = findCode(address);
    return match ? std::optional(match->name) : std::nullopt;
}

std::string withoutScheme(std::string_view file) {
    return std::string(file.starts_with("file://") ? file.substr(7) : file);
}

bool isV8Interpreter(std::string_view name) {
    return name == "Builtins_InterpreterEntryTrampoline" || name == "Builtin:InterpreterEntryTrampoline";
}

JitName parseJitName(std::string_view raw) {
    // Kinds of functions in V8's code events; the later ones name code without a script.
    for (std::string_view prefix : {"JS:", "LazyCompile:", "Function:", "Script:", "Eval:", "Callback:"}) {
        if (raw.starts_with(prefix)) {
            return parseV8(raw.substr(prefix.size()));
        }
    }
    JitName result;
    result.name = raw;
    for (std::string_view prefix : {"Builtin:", "BytecodeHandler:", "Stub:", "Shared:"}) {
        if (raw.starts_with(prefix)) {
            result.engine = JitName::Engine::v8Builtin;
            result.name = isV8Interpreter(raw) ? "Interpreter" : raw;
            return result;
        }
    }
    for (std::string_view prefix : {"RegExp:", "RegExp.", "Wasm:", "wasm-function["}) {
        if (raw.starts_with(prefix)) {
            result.engine = JitName::Engine::v8;
            return result;
        }
    }
    if (raw.starts_with("py::")) {
        result.engine = JitName::Engine::python;
        std::string_view rest = raw.substr(4);
        size_t colon = rest.find(':');
        result.name = rest.substr(0, colon);
        result.file = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
    }
    return result;
}

} // namespace hotspan::symbols
