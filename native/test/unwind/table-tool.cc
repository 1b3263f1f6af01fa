/**
 * Tables from the command line, for tests and for the bench:
 *   table-tool rules FILE          reads hexadecimal ELF addresses from stdin, prints the rule of each
 *   table-tool measure FILE ROUNDS builds the file's table ROUNDS times, prints what it costs as one line of JSON
 *   table-tool follow FILE         follows the code that call frame information describes as if it did not, and counts
 *                                  where the two agree; prints where they differ, then one line of JSON
 *   table-tool lengths FILE        reads hexadecimal ELF addresses from stdin, prints the length of the instruction at
 *                                  each and the general registers that it writes, as a mask
 */
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <elf.h>
#include <fcntl.h>
#include <vector>

#include "unwind/cfi-section.h"
#include "unwind/followed-code.h"
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

constexpr size_t maxComparedBytes = 64U << 20;

struct Agreement {
    size_t instructions = 0;
    size_t followed = 0;
    size_t agreeing = 0;
    size_t differing = 0;
    /** They differ from an instruction on that stands behind a call: one that never returns, and what stands there is
     * reached by exceptions alone. */
    size_t behindCalls = 0;
    /** One rule for all of a function that pushes something: assembly whose authors wrote nothing about it. */
    size_t undescribed = 0;
    /** Call frame information finds the CFA by what is not followed: another register, a word in the stack. */
    size_t otherwise = 0;
};

bool isCfaAgreed(const unwind::StackHeights &heights, uint32_t rule) {
    int32_t height = unwind_rule_cfa(rule) == UNWIND_CFA_SP ? heights.rsp : heights.rbp;
    return height == unwind::StackHeights::unknown || height == unwind_rule_offset(rule);
}

/** Popped already, rbp holds the value that stands in the stack as well. What was not followed contradicts nothing. */
bool isRbpAgreed(const unwind::StackHeights &heights, uint32_t rule) {
    if (!heights.isRbpKept && heights.savedRbp <= 0) {
        return true;
    }
    switch (unwind_rule_bp(rule)) {
    case UNWIND_BP_SAME:
        return heights.isRbpKept;
    case UNWIND_BP_AT_CFA:
        return heights.isRbpKept || heights.savedRbp == -unwind_rule_bp_offset(rule);
    default:
        return true;
    }
}

class Comparison {
  public:
    Comparison(const symbols::ByteSource &source, const symbols::ElfFile &elf, const unwind::UnwindTable &table)
        : source_(source), elf_(elf), table_(table),
          follower_(
              [this](uint64_t address, void *to, size_t sizeBytes) {
                  std::optional<uint64_t> offset = elf_.fileOffsetOf(address);
                  return offset ? source_.readSome(*offset, to, sizeBytes) : size_t{0};
              },
              maxComparedBytes) {}

    void add(const unwind::CodeRange &range) {
        std::vector<uint8_t> bytes(range.sizeBytes);
        std::optional<uint64_t> offset = elf_.fileOffsetOf(range.begin);
        bool isRead = offset && source_.readAt(*offset, bytes.data(), bytes.size());
        // Parts that are apart from their functions (cold ones) begin at other heights, or so after one nop.
        bool isFunction = unwind::unwindRuleAt(table_, range.begin) == (UNWIND_CFA_SP | 1U << 14) && bytes[0] != 0x90;
        if (isRead && isFunction && follower_.addCode(range.begin, bytes)) {
            ranges_.push_back(range);
        }
    }

    Agreement compare() {
        for (const unwind::CodeRange &range : ranges_) {
            follower_.addFunction(range.begin);
        }
        follower_.setFixed(!elf_.segments().empty() && elf_.segments()[0].address > 0);
        follower_.follow();
        follower_.judge();
        for (const unwind::CodeRange &range : ranges_) {
            judge(range);
        }
        return counts_;
    }

  private:
    bool hasOneRule(const unwind::CodeRange &range) const {
        uint32_t first = unwind::unwindRuleAt(table_, range.begin);
        for (uint64_t address = range.begin; address < range.end(); address++) {
            if (unwind::unwindRuleAt(table_, address) != first) {
                return false;
            }
        }
        return true;
    }

    void judge(const unwind::CodeRange &range) {
        bool isUndescribed = hasOneRule(range);
        bool isBehind = false;
        bool wasEqual = true;
        bool wasCall = false;
        for (uint64_t address = range.begin; address < range.end(); address++) {
            if (!follower_.isVisited(address)) {
                continue;
            }
            counts_.instructions++;
            uint32_t rule = unwind::unwindRuleAt(table_, address);
            const unwind::StackHeights *heights = follower_.heightsAt(address);
            bool isKnown = unwind_rule_cfa(rule) == UNWIND_CFA_SP || unwind_rule_cfa(rule) == UNWIND_CFA_BP;
            counts_.followed += heights != nullptr ? 1 : 0;
            counts_.otherwise += heights != nullptr && !isKnown ? 1 : 0;
            bool isEqual =
                heights == nullptr || !isKnown || (isCfaAgreed(*heights, rule) && isRbpAgreed(*heights, rule));
            isBehind = !isEqual && (wasEqual ? wasCall : isBehind);
            wasEqual = isEqual;
            wasCall = isCall(address);
            counts_.agreeing += heights != nullptr && isKnown && isEqual ? 1 : 0;
            counts_.undescribed += !isEqual && isUndescribed ? 1 : 0;
            counts_.behindCalls += !isEqual && !isUndescribed && isBehind ? 1 : 0;
            counts_.differing += !isEqual && !isUndescribed && !isBehind ? 1 : 0;
            if (!isEqual && !isUndescribed) {
                printf("%" PRIx64 ": followed %s, call frame information %s%s\n", address,
                       unwind::describeRule(unwind::ruleOf(*heights)).c_str(), unwind::describeRule(rule).c_str(),
                       isBehind ? ", behind a call" : "");
            }
        }
    }

    bool isCall(uint64_t address) const {
        uint8_t bytes[15] = {};
        std::optional<uint64_t> offset = elf_.fileOffsetOf(address);
        size_t sizeBytes = offset ? source_.readSome(*offset, bytes, sizeof bytes) : 0;
        unwind::Instruction it = unwind::decodeInstruction(bytes, sizeBytes);
        return it.opcode == 0xe8 || (it.opcode == 0xff && it.operation() == 2);
    }

    const symbols::ByteSource &source_;
    const symbols::ElfFile &elf_;
    const unwind::UnwindTable &table_;
    std::vector<unwind::CodeRange> ranges_;
    unwind::StackFollower follower_;
    Agreement counts_;
};

int follow(const symbols::ByteSource &source) {
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    std::optional<unwind::UnwindTable> table = buildOf(source);
    if (!table) {
        return 1;
    }
    std::vector<symbols::Section> sections = elf->readSections(source);
    auto section = std::find_if(sections.begin(), sections.end(), [](auto &one) { return one.name == ".eh_frame"; });
    if (section == sections.end()) {
        fputs("no .eh_frame\n", stderr);
        return 1;
    }
    unwind::CfiSection cfi(source, section->offset, section->sizeBytes, section->address, unwind::RangeOwner::ehFrame);
    std::vector<unwind::CodeRange> ranges;
    cfi.collect(unwind::CodeSegments(*elf), ranges, unwind::wholeSection);
    std::sort(ranges.begin(), ranges.end(), [](auto &a, auto &b) { return a.begin < b.begin; });
    Comparison comparison(source, *elf, *table);
    uint64_t end = 0;
    for (const unwind::CodeRange &range : ranges) {
        if (range.begin >= end) {
            comparison.add(range);
            end = range.end();
        }
    }
    Agreement counts = comparison.compare();
    printf("{\"instructions\":%zu,\"followed\":%zu,\"agreeing\":%zu,\"differing\":%zu,\"behindCalls\":%zu,"
           "\"undescribed\":%zu,\"otherwise\":%zu}\n",
           counts.instructions, counts.followed, counts.agreeing, counts.differing, counts.behindCalls,
           counts.undescribed, counts.otherwise);
    return 0;
}

int printLengths(const symbols::ByteSource &source) {
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    uint64_t address = 0;
    while (elf && scanf("%" SCNx64, &address) == 1) {
        uint8_t bytes[15] = {};
        std::optional<uint64_t> offset = elf->fileOffsetOf(address);
        size_t sizeBytes = offset ? source.readSome(*offset, bytes, sizeof bytes) : 0;
        unwind::Instruction it = unwind::decodeInstruction(bytes, sizeBytes);
        printf("%zu %x\n", it.sizeBytes, it.sizeBytes > 0 ? unwind::writtenRegisters(it) : 0);
    }
    return elf ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
    bool isMeasure = argc == 4 && strcmp(argv[1], "measure") == 0 && atoi(argv[3]) > 0;
    using Command = int (*)(const symbols::ByteSource &);
    Command command = argc != 3                         ? nullptr
                      : strcmp(argv[1], "rules") == 0   ? printRules
                      : strcmp(argv[1], "follow") == 0  ? follow
                      : strcmp(argv[1], "lengths") == 0 ? printLengths
                                                        : nullptr;
    if (command == nullptr && !isMeasure) {
        fputs("usage: table-tool rules|follow|lengths FILE | table-tool measure FILE ROUNDS\n", stderr);
        return 2;
    }
    symbols::UniqueFd fd(open(argv[2], O_RDONLY | O_CLOEXEC));
    symbols::ByteSource source = symbols::ByteSource::ofFile(fd.get());
    return isMeasure ? measure(source, atoi(argv[3])) : command(source);
}
