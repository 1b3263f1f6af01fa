/**
 * What processes had mapped as code while they lived, from whoever listens to the kernel's events of it: names of
 * processes that were gone, or ran another program, before anyone asked. At most one listener lends what it knows.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "object-file.h"
#include "proc-maps.h"

namespace hotspan::symbols {

/** One executable mapping of a file. */
struct CapturedCode {
    Mapping mapping;
    std::string path;
    /** In whose root the path is looked up when the process is gone; 0: not known. */
    int parentPid = 0;
    /** Nothing where the file was not looked at. */
    std::optional<FileKey> key;
};

class CodeCapture {
  public:
    /** The newest mapping that held the address in one of the process's programs. Any thread. */
    virtual std::optional<CapturedCode> codeAt(int pid, uint64_t address) = 0;

  protected:
    ~CodeCapture() = default;
};

/** Lends it to every symbolizer of this process, in place of another. */
void lendCapture(CodeCapture &capture);
/** Once this has returned it is not in use any more. Another one that was lent since stays. */
void withdrawCapture(const CodeCapture &capture);
std::optional<CapturedCode> capturedCodeAt(int pid, uint64_t address);

} // namespace hotspan::symbols
