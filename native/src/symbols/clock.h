/** Monotonic time for intervals of tenths of seconds. */
#pragma once

#include <cstdint>
#include <ctime>

namespace hotspan::symbols {

constexpr uint64_t nsPerMs = 1'000'000;
constexpr uint64_t nsPerS = 1'000'000'000;

/** Precise, about 25 ns. */
inline uint64_t monotonicNs() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * nsPerS + static_cast<uint64_t>(now.tv_nsec);
}

/** To 4 ms, about 5 ns. */
inline uint64_t coarseNs() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<uint64_t>(now.tv_sec) * nsPerS + static_cast<uint64_t>(now.tv_nsec);
}

} // namespace hotspan::symbols
