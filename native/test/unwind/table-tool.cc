/**
 * Tables from the command line, for tests and for the bench:
 *   table-tool rules FILE          reads hexadecimal ELF addresses from stdin, prints the rule of each
 *   table-tool measure FILE ROUNDS builds the file's table ROUNDS times, prints what it costs as one line of JSON
 */
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <vector>

#include "unwind/unwind-table.h"

namespace {

using namespace hotspan;

double cpuMs() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/** A line of /proc/self/status in KiB. getrusage would tell the parent's peak too. */
long statusKib(const char *name) {
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kib = 0;
    while (status != nullptr && fgets(line, sizeof line, status) != nullptr) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = strtol(line + strlen(name), nullptr, 10);
        }
    }
    if (status != nullptr) {
        fclose(status);
    }
    return kib;
}

std::optional<unwind::UnwindTable> buildOf(const symbols::ByteSource &source) {
    std::string problem;
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    std::optional<unwind::UnwindTable> table = elf ? unwind::buildUnwindTable(source, *elf, problem) : std::nullopt;
    if (!table || !problem.empty()) {
        fprintf(stderr, "no whole table: %s\n", problem.c_str());
        return std::nullopt;
    }
    return table;
}

int printRules(const symbols::ByteSource &source) {
    std::optional<unwind::UnwindTable> table = buildOf(source);
    uint64_t address = 0;
    while (table && scanf("%" SCNx64, &address) == 1) {
        printf("%s\n", unwind::describeRule(unwind::unwindRuleAt(*table, address)).c_str());
    }
    return table ? 0 : 1;
}

/** The median of processor time: what else runs on the machine tells less in it than in elapsed time. */
int measure(const symbols::ByteSource &source, int rounds) {
    std::vector<double> times;
    unwind::UnwindTable last;
    long before = statusKib("VmRSS:");
    long peak = 0;
    for (int i = 0; i < rounds; i++) {
        double start = cpuMs();
        std::optional<unwind::UnwindTable> table = buildOf(source);
        times.push_back(cpuMs() - start);
        if (!table) {
            return 1;
        }
        // Later rounds have the table before theirs as well.
        peak = i == 0 ? statusKib("VmHWM:") - before : peak;
        last = std::move(*table);
    }
    std::sort(times.begin(), times.end());
    size_t bytes = last.bytes.size() + last.pages.size() * sizeof(unwind_page);
    printf("{\"cpuMs\":%.2f,\"rows\":%u,\"bytes\":%zu,\"source\":\"%s\",\"peakKib\":%ld}\n", times[times.size() / 2],
           last.rowCount, bytes, last.source.c_str(), peak);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    bool isRules = argc == 3 && strcmp(argv[1], "rules") == 0;
    bool isMeasure = argc == 4 && strcmp(argv[1], "measure") == 0 && atoi(argv[3]) > 0;
    if (!isRules && !isMeasure) {
        fputs("usage: table-tool rules FILE | table-tool measure FILE ROUNDS\n", stderr);
        return 2;
    }
    symbols::UniqueFd fd(open(argv[2], O_RDONLY | O_CLOEXEC));
    symbols::ByteSource source = symbols::ByteSource::ofFile(fd.get());
    return isRules ? printRules(source) : measure(source, atoi(argv[3]));
}
