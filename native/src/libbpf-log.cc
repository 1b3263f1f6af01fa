// Catches libbpf's words; see libbpf-log.h.
#include "libbpf-log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace hotspan {

static thread_local LibbpfLog *current_log = nullptr;

static int OnLibbpfPrint(libbpf_print_level level, const char *format, va_list arguments) {
    if (level != LIBBPF_WARN || !current_log)
        return 0;
    // libbpf's longest lines are the verifier's words, which are kept elsewhere.
    char line[1024];
    int length = vsnprintf(line, sizeof(line), format, arguments);
    if (length > 0)
        current_log->Add(line, std::min<size_t>(static_cast<size_t>(length), sizeof(line) - 1));
    return length;
}

void CatchLibbpfLog() {
    static std::once_flag once;
    std::call_once(once, [] { libbpf_set_print(OnLibbpfPrint); });
}

LibbpfLog::LibbpfLog() : outer_(current_log) {
    current_log = this;
}

LibbpfLog::~LibbpfLog() {
    current_log = outer_;
}

void LibbpfLog::Add(const char *line, size_t length) {
    ring_.append(line, length);
    if (ring_.size() > max_bytes_)
        ring_.erase(0, ring_.size() - max_bytes_);
}

static std::string LastLine(const std::string &text) {
    size_t end = text.find_last_not_of("\n ");
    if (end == std::string::npos)
        return "";
    size_t start = text.rfind('\n', end);
    return text.substr(start == std::string::npos ? 0 : start + 1,
                       end - (start == std::string::npos ? 0 : start + 1) + 1);
}

// Lines that only repeat that something failed, after the line that says why, or guess at a memory limit, which is not
// the reason on kernels that count memory by cgroup.
static bool IsEcho(const std::string &line) {
    return line.find("failed to load object") != std::string::npos ||
           line.find("-- END PROG LOAD LOG --") != std::string::npos ||
           line.find("permission error while running as root") != std::string::npos ||
           (line.find("prog '") != std::string::npos && line.find("failed to load: -") != std::string::npos);
}

std::string LibbpfLog::LastWarning() const {
    std::string text = ring_;
    std::string line = LastLine(text);
    while (IsEcho(line)) {
        size_t start = text.rfind(line);
        text.erase(start);
        std::string before = LastLine(text);
        if (before.empty())
            break;
        line = before;
    }
    const std::string prefix = "libbpf: ";
    return line.rfind(prefix, 0) == 0 ? line.substr(prefix.size()) : line;
}

std::string LibbpfLog::LastProgram() const {
    const std::string mark = "prog '";
    size_t start = ring_.rfind(mark);
    if (start == std::string::npos)
        return "";
    start += mark.size();
    size_t end = ring_.find('\'', start);
    return end == std::string::npos ? "" : ring_.substr(start, end - start);
}

} // namespace hotspan
