/**
 * Where the code of loaded BPF programs stands and what it is called, as the kernel tells of each program: far cheaper
 * than to read kallsyms anew whenever one comes or goes.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace hotspan::symbols {

/** One function of a program, named as in kallsyms. */
struct BpfFunction {
    uint64_t address = 0;
    uint32_t sizeBytes = 0;
    std::string name;
};

/** All of them, in order of addresses. Made once and then only read. */
class BpfFunctions {
  public:
    explicit BpfFunctions(std::vector<BpfFunction> functions);
    /** The function that this address lies in; null where it lies in none. */
    const BpfFunction *find(uint64_t address) const;
    size_t bytes() const;

  private:
    std::vector<BpfFunction> functions_;
};

/** Follows the programs that are loaded. For one thread at a time. */
class BpfPrograms {
  public:
    /** Asks which programs there are, and about each new one; true where any came or went. About 0.1 ms where none did.
     */
    bool refresh();
    /** False where the kernel does not tell where programs stand (no CAP_BPF or CAP_SYS_ADMIN, or addresses are
     * hidden). */
    bool areKnown() const { return areKnown_; }
    /** As of the last refresh. */
    std::shared_ptr<const BpfFunctions> functions() const { return functions_; }

  private:
    bool areKnown_ = true;
    std::unordered_map<uint32_t, std::vector<BpfFunction>> byId_;
    std::shared_ptr<const BpfFunctions> functions_;
};

} // namespace hotspan::symbols
