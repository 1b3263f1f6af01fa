// What the parts of the walk's test share: the check, random input from one fixed seed, rules and mappings.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "../../native/test/check.h"
#include "unwind/table-writer.h"
#include "unwind/walk.h"

using namespace hotspan::unwind;

inline constexpr uint64_t codeStart = 0x555500000000, stackStart = 0x7ffc00000000;
inline constexpr size_t stackWords = 4096;

inline uint32_t rule(uint32_t cfa, int64_t offset = 0, uint32_t bp = UNWIND_BP_SAME, int64_t bpOffset = 0) {
    int64_t unit = cfa == UNWIND_CFA_PLT ? 1 : 8;
    return cfa | bp << 4 | (static_cast<uint32_t>(bpOffset / 8) & 0xff) << 6 |
           static_cast<uint32_t>(offset / unit) << 14;
}

inline uint32_t registerRule(uint32_t number, int64_t offset) {
    return UNWIND_CFA_REGISTER | number << 14 | static_cast<uint32_t>(offset / 8) << 18;
}

inline unwind_mapping otherMapping(uint64_t start, uint8_t kind) {
    unwind_mapping mapping{};
    mapping.start = mapping.bias = start;
    mapping.end = start + 0x1000;
    mapping.kind = kind;
    return mapping;
}

// walk-search-test.cc
void testSearch();
void testManyMappings();
void testNonsense();
