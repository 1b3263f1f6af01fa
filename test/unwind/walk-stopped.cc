/**
 * Walks stacks of processes that stand still, for walker.ts: reads one question a line and answers each in one line of
 * words that tabs part. A PROCESS is a pid or the path, without spaces, of a core file.
 *
 *   maps PROCESS                 read its mappings, or the core, again -> ok
 *   registers PROCESS TID        of a thread in a core                 -> ok IP R0 ... R15
 *   walk PROCESS IP R0 ... R15   registers by DWARF number, hex        -> ok END ADDRESS...
 *   rule PROCESS ADDRESS         what the tables say of it             -> ok PATH ELF-ADDRESS RULE
 *
 * Anything else, and what cannot be done, is answered by "error" and a reason.
 */
#include <cstdio>
#include <cstdlib>
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
        std::string name;
        words >> question >> name;
        StoppedProcess &process = processOf(name);
        if (question == "maps") {
            std::string problem = process.refresh();
            printf(problem.empty() ? "ok\n" : "error\t%s\n", problem.c_str());
        } else if (question == "registers") {
            int tid = 0;
            words >> tid;
            printRegisters(process.threadOf(tid));
        } else if (question == "walk") {
            walk(process, words);
        } else if (question == "rule") {
            uint64_t address = 0;
            words >> std::hex >> address;
            printRule(process, address);
        } else {
            printf("error\tthere is no such question\n");
        }
        fflush(stdout);
    }

  private:
    StoppedProcess &processOf(const std::string &name) {
        std::unique_ptr<StoppedProcess> &process = processes_[name];
        if (!process && name.starts_with('/')) {
            process = std::make_unique<CoreProcess>(files_, name);
        } else if (!process) {
            process = std::make_unique<LiveProcess>(files_, atoi(name.c_str()));
        }
        return *process;
    }

    static void printRegisters(const CoreThread *thread) {
        if (thread == nullptr) {
            printf("error\tthere is no such thread\n");
            return;
        }
        printf("ok\t%lx", thread->ip);
        for (uint64_t value : thread->registers) {
            printf("\t%lx", value);
        }
        printf("\n");
    }

    void walk(StoppedProcess &process, std::istringstream &words);

    static void printRule(const StoppedProcess &process, uint64_t address) {
        StoppedProcess::Code code = process.find(address);
        uint32_t rule = code.file ? unwindRuleAt(code.file->table, code.elfAddress) : 0;
        std::string text = unwind_rule_cfa(rule) == UNWIND_CFA_NONE ? "none" : describeRule(rule);
        printf("ok\t%s\t%lx\t%s\n", code.path.c_str(), code.elfAddress, text.c_str());
    }

    MappedFiles files_;
    std::map<std::string, std::unique_ptr<StoppedProcess>> processes_;
};

void Tool::walk(StoppedProcess &process, std::istringstream &words) {
    uint64_t registers[16] = {};
    WalkInput input;
    words >> std::hex >> input.ip;
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
