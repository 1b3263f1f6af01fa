/** The place where what is lent lies. */
#include "captured-code.h"

#include <mutex>

namespace hotspan::symbols {
namespace {

std::mutex captureMutex;
CodeCapture *lent = nullptr;

} // namespace

void lendCapture(CodeCapture &capture) {
    std::lock_guard lock(captureMutex);
    lent = &capture;
}

void withdrawCapture(const CodeCapture &capture) {
    std::lock_guard lock(captureMutex);
    lent = lent == &capture ? nullptr : lent;
}

std::optional<CapturedCode> capturedCodeAt(int pid, uint64_t address) {
    std::lock_guard lock(captureMutex);
    return lent != nullptr ? lent->codeAt(pid, address) : std::nullopt;
}

} // namespace hotspan::symbols
