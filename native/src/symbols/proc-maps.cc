/** Reading and parsing of /proc/PID/{maps,stat,status,exe}. */
#include "proc-maps.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <linux/limits.h>
#include <unistd.h>

#include "byte-source.h"

namespace hotspan::symbols {
namespace {

// A path is at most 4,096 bytes, four times that when every byte is escaped, and the columns before it 80.
constexpr size_t maxLineBytes = 4 * PATH_MAX + 256;
// Paths of executable mappings of one process. A browser has 20 KB of them; a process that maps files with long names
// on purpose gets no more.
constexpr size_t maxPathBytes = 1U << 20;

template <typename Number> bool takeNumber(std::string_view &text, Number &number, int base) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc{}) {
        return false;
    }
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return true;
}

bool takeChar(std::string_view &text, char expected) {
    if (text.empty() || text[0] != expected) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

std::string unescape(std::string_view path) {
    std::string text;
    text.reserve(path.size());
    for (size_t i = 0; i < path.size(); i++) {
        // proc(5): the line feed is the only character that maps escapes.
        if (path.substr(i, 4) == "\\012") {
            text += '\n';
            i += 3;
        } else {
            text += path[i];
        }
    }
    return text;
}

/** The first bytes of a small file of /proc; empty where the process is gone. */
std::string readSmall(int pid, const char *name, size_t maxBytes) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
    std::string text;
    if (!fd) {
        return text;
    }
    text.resize(maxBytes);
    size_t done = 0;
    while (done < maxBytes) {
        ssize_t got = read(fd.get(), text.data() + done, maxBytes - done);
        if (got <= 0) {
            break;
        }
        done += static_cast<size_t>(got);
    }
    text.resize(done);
    return text;
}

} // namespace

std::optional<MapsLine> parseMapsLine(std::string_view line) {
    MapsLine result;
    if (!takeNumber(line, result.start, 16) || !takeChar(line, '-') || !takeNumber(line, result.end, 16) ||
        !takeChar(line, ' ') || line.size() < 5 || result.start >= result.end) {
        return std::nullopt;
    }
    result.isExecutable = line[2] == 'x';
    line.remove_prefix(4);
    if (!takeChar(line, ' ') || !takeNumber(line, result.fileOffset, 16) || !takeChar(line, ' ') ||
        !takeNumber(line, result.deviceMajor, 16) || !takeChar(line, ':') ||
        !takeNumber(line, result.deviceMinor, 16) || !takeChar(line, ' ') || !takeNumber(line, result.inode, 10)) {
        return std::nullopt;
    }
    size_t path = line.find_first_not_of(' ');
    result.path = path == std::string_view::npos ? std::string_view{} : line.substr(path);
    return result;
}

const Mapping *Mappings::find(uint64_t address) const {
    auto after = std::upper_bound(mappings.begin(), mappings.end(), address,
                                  [](uint64_t wanted, const Mapping &mapping) { return wanted < mapping.start; });
    if (after == mappings.begin() || address >= (after - 1)->end) {
        return nullptr;
    }
    return &*(after - 1);
}

size_t Mappings::bytes() const {
    size_t bytes = mappings.capacity() * sizeof(Mapping);
    for (const std::string &path : paths) {
        bytes += sizeof path + path.capacity();
    }
    return bytes;
}

void MapsParser::takeLine(std::string_view text) {
    std::optional<MapsLine> line = parseMapsLine(text);
    if (!line || !line->isExecutable) {
        return;
    }
    std::string path = unescape(line->path);
    if (result_.paths.empty() || result_.paths.back() != path) {
        pathBytes_ += path.size();
        if (pathBytes_ > maxPathBytes) {
            result_.isTruncated = true;
            return;
        }
        result_.paths.push_back(std::move(path));
    }
    result_.mappings.push_back({line->start, line->end, line->fileOffset, line->inode, line->deviceMajor,
                                line->deviceMinor, static_cast<uint32_t>(result_.paths.size() - 1)});
}

bool MapsParser::feed(std::string_view text) {
    while (!text.empty()) {
        size_t end = text.find('\n');
        if (end == std::string_view::npos) {
            if (rest_.size() + text.size() <= maxLineBytes) {
                rest_.append(text);
            }
            return true;
        }
        if (lines_++ >= maxLines_) {
            result_.isTruncated = true;
            return false;
        }
        if (rest_.empty()) {
            takeLine(text.substr(0, end));
        } else {
            rest_.append(text.substr(0, end));
            takeLine(rest_);
            rest_.clear();
        }
        text.remove_prefix(end + 1);
    }
    return true;
}

Mappings MapsParser::take() {
    // The kernel prints them sorted, except for [vsyscall] after a few odd layouts; a search needs it to hold always.
    auto byStart = [](const Mapping &a, const Mapping &b) { return a.start < b.start; };
    if (!std::is_sorted(result_.mappings.begin(), result_.mappings.end(), byStart)) {
        std::sort(result_.mappings.begin(), result_.mappings.end(), byStart);
    }
    result_.mappings.shrink_to_fit();
    return std::move(result_);
}

std::optional<Mappings> readMappings(int pid, size_t maxLines) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return std::nullopt;
    }
    MapsParser parser(maxLines);
    // The kernel fills at most one page a read whatever the buffer's size.
    char buffer[16384];
    size_t total = 0;
    for (;;) {
        ssize_t got = read(fd.get(), buffer, sizeof buffer);
        if (got <= 0) {
            break;
        }
        total += static_cast<size_t>(got);
        if (!parser.feed({buffer, static_cast<size_t>(got)})) {
            break;
        }
    }
    // A zombie, or a kernel thread: the file opens and is empty.
    if (total == 0) {
        return std::nullopt;
    }
    return parser.take();
}

uint64_t readStartTicks(int pid) {
    std::string stat = readSmall(pid, "stat", 1024);
    // The command in parentheses may hold spaces and parentheses itself: fields are counted from the last one.
    size_t at = stat.rfind(')');
    if (at == std::string::npos) {
        return 0;
    }
    std::string_view rest(stat);
    rest.remove_prefix(at + 1);
    for (int field = 3; field <= 22; field++) {
        size_t begin = rest.find_first_not_of(' ');
        if (begin == std::string_view::npos) {
            return 0;
        }
        rest.remove_prefix(begin);
        if (field < 22) {
            size_t end = rest.find(' ');
            rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
        }
    }
    uint64_t ticks = 0;
    return takeNumber(rest, ticks, 10) ? ticks : 0;
}

int readNamespacePid(int pid) {
    std::string status = readSmall(pid, "status", 4096);
    size_t at = status.find("\nNSpid:");
    if (at == std::string::npos) {
        return 0;
    }
    std::string_view line(status);
    line = line.substr(at + 7);
    line = line.substr(0, line.find('\n'));
    // From the reader's namespace to the innermost: the last one is what the process itself calls its pid.
    size_t last = line.find_last_of("\t ");
    line.remove_prefix(last == std::string_view::npos ? 0 : last + 1);
    int inner = 0;
    return takeNumber(line, inner, 10) ? inner : 0;
}

std::string readExecutablePath(int pid) {
    char path[64];
    char target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, target, sizeof target);
    if (length <= 0) {
        return {};
    }
    std::string result(target, static_cast<size_t>(length));
    constexpr std::string_view deleted = " (deleted)";
    if (result.size() > deleted.size() && result.ends_with(deleted)) {
        result.resize(result.size() - deleted.size());
    }
    return result;
}

std::string_view baseName(std::string_view path) {
    size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

} // namespace hotspan::symbols
