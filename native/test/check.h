// What the C++ tests share: the check, and random input from one fixed seed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/** The seed is fixed: a failure is repeated by running the test again. */
inline std::mt19937_64 random64(0x686f747370616eULL);
inline uint64_t below(uint64_t bound) {
    return random64() % bound;
}
