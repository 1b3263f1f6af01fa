// What libbpf says, kept for the message of the error that follows, instead of printed.
#pragma once

#include <string>

namespace hotspan {

// Sends libbpf's words of this process to the log of the thread that they are said on. Idempotent.
void CatchLibbpfLog();

// Words of libbpf on this thread while it lives: a ring of the last 8 KiB. Logs of one thread nest; the inner one
// listens.
class LibbpfLog {
  public:
    LibbpfLog();
    ~LibbpfLog();
    LibbpfLog(const LibbpfLog &) = delete;
    LibbpfLog &operator=(const LibbpfLog &) = delete;

    // The last warning, without "libbpf: " and the line's end; empty if there was none.
    std::string LastWarning() const;
    // The name in the last warning of the form "prog 'name': ..."; empty if there was none.
    std::string LastProgram() const;
    void Add(const char *line, size_t length);

  private:
    static constexpr size_t max_bytes_ = 8 * 1024;
    std::string ring_;
    LibbpfLog *outer_;
};

} // namespace hotspan
