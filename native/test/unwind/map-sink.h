// Rows as tests look at them.
#pragma once

#include <map>
#include <string>

#include "unwind/cfi-program.h"
#include "unwind/unwind-table.h"

class MapSink : public hotspan::unwind::RowSink {
  public:
    void row(uint64_t address, uint32_t rule) override { rules[address] = rule; }
    /** In words, of the row that holds there. */
    std::string at(uint64_t address) const {
        return hotspan::unwind::describeRule(std::prev(rules.upper_bound(address))->second);
    }
    std::map<uint64_t, uint32_t> rules;
};
