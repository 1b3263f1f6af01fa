/* Throws through several frames that have something to clean up, catches, rethrows: half of the time is spent in the
 * C++ runtime. */
#include "stacks.h"
#include <stdexcept>
#include <string>

STACKS_SINK;

namespace {

struct Guard {
    std::string text;
    explicit Guard(unsigned long number) : text(std::to_string(number)) {}
    ~Guard() { stacks_sink += text.size(); }
};

KEEP void throw_inner(unsigned long turn) {
    Guard guard(turn);
    stacks_burn(200);
    if (turn % 3 != 0)
        throw std::runtime_error("turn " + guard.text);
}

KEEP void pass_through(unsigned long turn, unsigned depth) {
    Guard guard(depth);
    if (depth == 0)
        throw_inner(turn);
    else
        pass_through(turn, depth - 1);
    AFTER_CALL();
}

KEEP void catch_and_rethrow(unsigned long turn) {
    try {
        pass_through(turn, 6);
    } catch (const std::exception &) {
        stacks_burn(50);
        if (turn & 1)
            throw;
    }
}

KEEP void catch_all(unsigned long turn) {
    try {
        catch_and_rethrow(turn);
    } catch (const std::runtime_error &error) {
        stacks_sink += std::string(error.what()).size();
    }
}

} // namespace

int main() {
    stacks_begin();
    for (unsigned long turn = 0;; turn++)
        catch_all(turn);
}
