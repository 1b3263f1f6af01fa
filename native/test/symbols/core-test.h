// What the parts of the core's test share: the check, and random input from one fixed seed.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <map>
#include <random>
#include <set>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbols/clock.h"
#include "symbols/demangle.h"
#include "symbols/elf-symbols.h"
#include "symbols/mount-table.h"
#include "symbols/perf-map.h"
#include "symbols/symbol-engine.h"
#include "symbols/symbol-search.h"

using namespace hotspan::symbols;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

// Bounds of time are wide: they are to catch what explodes, also on a machine that is busy or emulated.

/** The seed is fixed: a failure is repeated by running it again. */
inline std::mt19937_64 random64(0x686f747370616eULL);
inline uint64_t below(uint64_t bound) {
    return random64() % bound;
}

inline std::string randomText(size_t maxBytes, std::string_view alphabet) {
    std::string text(below(maxBytes + 1), ' ');
    for (char &c : text) {
        c = alphabet.empty() ? static_cast<char>(random64()) : alphabet[below(alphabet.size())];
    }
    return text;
}

// core-test-engine.cc
void testElf(const char *path);
void testSharedNames();
void testEngine();
void testManyMappings();

// core-test-runtimes.cc
void testGo(const char *path);
void testJitDump();
