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

#include "../check.h"
#include "symbols/clock.h"
#include "symbols/demangle.h"
#include "symbols/elf-symbols.h"
#include "symbols/mount-table.h"
#include "symbols/perf-map.h"
#include "symbols/symbol-engine.h"
#include "symbols/symbol-search.h"

using namespace hotspan::symbols;

// Bounds of time are wide: they are to catch what explodes, also on a machine that is busy or emulated.

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
