/**
 * Walks stacks of processes that stand still, for walker.ts: reads one question a line and answers each in one line of
 * words that tabs part.
 *
 *   maps PID                  read its mappings again         -> ok
 *   walk PID IP R0 ... R15    registers by DWARF number, hex  -> ok END ADDRESS...
 *   rule PID ADDRESS          what the tables say of it       -> ok PATH ELF-ADDRESS RULE
 *
 * Anything else, and what cannot be done, is answered by "error" and a reason.
 */
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "stopped-process.h"

namespace {

using namespace hotspan::unwind;

/** enum unwind_end, in its order. */
constexpr const char *endNames[] = {"ROOT",      "NONE",        "NO_PROCESS",  "NO_MAPPING",    "NO_TABLE",
                                    "NO_ROOM",   "NO_RULE",     "UNSUPPORTED", "UNREADABLE",    "LIMIT",
                                    "BAD_FRAME", "UNKNOWN_JIT", "COMPAT",      "FRAME_POINTER", "SHORT_COPY"};

class Tool {
  public:
    void answer(const std::string &line) {
        std::istringstream words(line);
        std::string question;
        int pid = 0;
        words >> question >> pid >> std::hex;
        StoppedProcess &process = processOf(pid);
        if (question == "maps") {
            printf(process.refresh() ? "ok\n" : "error\tits mappings cannot be read\n");
        } else if (question == "walk") {
            walk(process, words);
        } else if (question == "rule") {
            uint64_t address = 0;
            words >> address;
            printRule(process, address);
        } else {
            printf("error\tthere is no such question\n");
        }
        fflush(stdout);
    }

  private:
    StoppedProcess &processOf(int pid) {
        std::unique_ptr<StoppedProcess> &process = processes_[pid];
        if (!process) {
            process = std::make_unique<StoppedProcess>(files_, pid);
        }
        return *process;
    }

    void walk(StoppedProcess &process, std::istringstream &words);

    static void printRule(const StoppedProcess &process, uint64_t address) {
        StoppedProcess::Code code = process.find(address);
        uint32_t rule = code.file ? unwindRuleAt(code.file->table, code.elfAddress) : 0;
        std::string text = unwind_rule_cfa(rule) == UNWIND_CFA_NONE ? "none" : describeRule(rule);
        printf("ok\t%s\t%lx\t%s\n", code.path.c_str(), code.elfAddress, text.c_str());
    }

    MappedFiles files_;
    std::map<int, std::unique_ptr<StoppedProcess>> processes_;
};

void Tool::walk(StoppedProcess &process, std::istringstream &words) {
    uint64_t registers[16] = {};
    WalkInput input;
    words >> input.ip;
    for (uint64_t &value : registers) {
        words >> value;
    }
    input.bp = registers[6];
    input.sp = registers[7];
    input.registers = registers;
    WalkResult result = walkUser(input, process, process.tables());
    printf("ok\t%s", endNames[result.end]);
    for (uint64_t address : result.addresses) {
        printf("\t%lx", address);
    }
    printf("\n");
}

} // namespace

int main() {
    Tool tool;
    std::string line;
    while (std::getline(std::cin, line)) {
        tool.answer(line);
    }
    return 0;
}
