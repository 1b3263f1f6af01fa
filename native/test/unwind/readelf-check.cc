/**
 * Compares the table of a file, row by row, with what binutils makes of the same file: reads the output of
 * `readelf --debug-dump=frames-interp FILE` from stdin. Every row must hold from its address to the last byte before
 * the next. Prints one line of counts; exits 1 where anything differs.
 */
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <string>
#include <vector>

#include "unwind/cfi-section.h"
#include "unwind/unwind-table.h"

namespace {

using namespace hotspan;

/** What readelf says of one address: empty where it has no such column. */
struct Row {
    uint64_t address = 0;
    std::string cfa;
    std::string rbp;
    std::string rsp;
    std::string returnAddress;
};

struct Counts {
    size_t functions = 0;
    size_t rows = 0;
    size_t unsupported = 0;
    size_t differing = 0;
    size_t gaps = 0;
    size_t special = 0;
};

std::vector<std::string> wordsOf(const char *line) {
    std::vector<std::string> words;
    for (const char *at = line; *at != '\0';) {
        at += strspn(at, " \n");
        size_t length = strcspn(at, " \n");
        // A register has its name behind it, in brackets.
        if (length > 0 && *at != '(') {
            words.emplace_back(at, length);
        }
        at += length;
    }
    return words;
}

bool isNothing(const std::string &column) {
    return column.empty() || column == "u" || column == "s";
}

std::string withSign(const char *base, int64_t offset) {
    return std::string(base) + (offset < 0 ? "" : "+") + std::to_string(offset);
}

bool isCfaEqual(uint32_t rule, const Row &row) {
    switch (unwind_rule_cfa(rule)) {
    case UNWIND_CFA_SP:
    case UNWIND_CFA_BP:
    case UNWIND_CFA_REGISTER:
        return unwind::describeRule(rule & ~0x3ff0U) == row.cfa;
    case UNWIND_CFA_FAR_SP:
        return withSign("rsp", unwind_rule_far_offset(rule)) == row.cfa;
    case UNWIND_CFA_LEAF_SP:
        return withSign("rsp", unwind_rule_register_offset(rule)) == row.cfa;
    case UNWIND_CFA_NONE:
    case UNWIND_CFA_END:
    case UNWIND_CFA_UNKNOWN:
        return false;
    default:
        return row.cfa == "exp";
    }
}

bool isRbpEqual(uint32_t rule, const Row &row) {
    switch (unwind_rule_bp(rule)) {
    case UNWIND_BP_SAME:
        return isNothing(row.rbp);
    case UNWIND_BP_AT_CFA:
        return row.rbp == withSign("c", unwind_rule_cfa(rule) == UNWIND_CFA_FAR_SP ? unwind_rule_far_bp_offset(rule)
                                                                                   : unwind_rule_bp_offset(rule));
    case UNWIND_BP_AT_BP:
        return row.rbp == "exp";
    default:
        return row.rbp == "u" || row.rbp == "exp" || row.rbp == "vexp" || row.rbp[0] == 'v' || row.rbp[0] == 'r';
    }
}

/** Whether the row is of a kind that the tables have no form for. */
bool isBeyondTables(const Row &row) {
    if (row.cfa == "exp" || (row.returnAddress != "c-8" && row.returnAddress[0] != 'r') ||
        !(isNothing(row.rsp) || row.rsp == "v+0")) {
        return true;
    }
    const char *sign = strpbrk(row.cfa.c_str(), "+-");
    long long offset = sign != nullptr ? strtoll(sign, nullptr, 10) : 0;
    int bits = row.cfa.starts_with("rsp") ? 22 : row.cfa.starts_with("rbp") ? 17 : 13;
    return sign == nullptr || offset % 8 != 0 || llabs(offset) >= 8LL << bits;
}

class Checker {
  public:
    Checker(const symbols::ByteSource &source, const symbols::ElfFile &elf, const unwind::UnwindTable &table, bool isGo)
        : source_(source), elf_(elf), table_(table), code_(elf), isGo_(isGo) {}

    void readLine(const char *line);
    /** Of code that has a rule by its shape. */
    void tell(uint64_t begin, uint64_t end) { shaped_.emplace_back(begin, end); }
    Counts finish();

  private:
    void closeFunction();
    void check(const Row &row, uint64_t address);
    bool isTold(uint64_t address) const;

    const symbols::ByteSource &source_;
    const symbols::ElfFile &elf_;
    const unwind::UnwindTable &table_;
    unwind::CodeSegments code_;
    bool isGo_;
    std::vector<std::pair<uint64_t, uint64_t>> shaped_;
    Counts counts_;
    std::vector<std::string> columns_;
    std::vector<Row> rows_;
    /** Rows of common entries by offset: a function without instructions has the common entry's. */
    std::map<uint64_t, Row> commons_;
    uint64_t commonOffset_ = 0;
    bool isCommon_ = false;
    uint64_t begin_ = 0;
    uint64_t end_ = 0;
    std::map<uint64_t, uint64_t> functions_;
};

void Checker::check(const Row &row, uint64_t address) {
    uint32_t rule = unwind::unwindRuleAt(table_, address);
    uint32_t cfa = unwind_rule_cfa(rule);
    bool isEqual = false;
    if (isGo_ && (cfa == UNWIND_CFA_END || cfa == UNWIND_CFA_OTHER_BP || cfa == UNWIND_CFA_SIGNAL ||
                  cfa == UNWIND_CFA_UNKNOWN)) {
        isEqual = true;
        counts_.special += address == row.address ? 1 : 0;
    } else if (cfa == UNWIND_CFA_UNKNOWN) {
        isEqual = isBeyondTables(row);
        counts_.unsupported += address == row.address ? 1 : 0;
    } else if (cfa == UNWIND_CFA_END) {
        isEqual = row.returnAddress == "u";
    } else if (cfa == UNWIND_CFA_SIGNAL) {
        isEqual = row.cfa == "exp" && row.rbp == "exp" && row.returnAddress == "exp";
    } else {
        bool isInRegister = cfa == UNWIND_CFA_LEAF_SP;
        isEqual = row.returnAddress == (isInRegister ? "r" + std::to_string(unwind_rule_register(rule)) : "c-8") &&
                  isCfaEqual(rule, row) && (isGo_ || isRbpEqual(rule, row));
    }
    if (!isEqual && counts_.differing++ < 20) {
        fprintf(stderr, "%" PRIx64 " (row of %" PRIx64 "): readelf says cfa=%s rbp=%s ra=%s, the table %s\n", address,
                row.address, row.cfa.c_str(), row.rbp.c_str(), row.returnAddress.c_str(),
                unwind::describeRule(rule).c_str());
    }
}

void Checker::closeFunction() {
    if (isCommon_) {
        commons_[commonOffset_] = rows_.empty() ? Row{} : rows_.back();
    } else if (end_ > begin_ && code_.sizeFrom(begin_) > 0) {
        if (rows_.empty()) {
            rows_.push_back(commons_[commonOffset_]);
            rows_[0].address = begin_;
        }
        counts_.functions++;
        functions_[begin_] = end_;
        for (size_t i = 0; i < rows_.size(); i++) {
            uint64_t next = i + 1 < rows_.size() ? rows_[i + 1].address : end_;
            if (next > rows_[i].address && rows_[i].address < end_) {
                counts_.rows++;
                check(rows_[i], rows_[i].address);
                check(rows_[i], std::min(next, end_) - 1);
            }
        }
    }
    rows_.clear();
    columns_.clear();
    begin_ = end_ = 0;
    isCommon_ = false;
}

void Checker::readLine(const char *line) {
    if (const char *text = strstr(line, " FDE ")) {
        closeFunction();
        sscanf(text, " FDE cie=%" SCNx64 " pc=%" SCNx64 "..%" SCNx64, &commonOffset_, &begin_, &end_);
    } else if (strstr(line, " CIE ") != nullptr) {
        closeFunction();
        commonOffset_ = strtoull(line, nullptr, 16);
        isCommon_ = true;
    } else if (strncmp(line, "   LOC", 6) == 0) {
        columns_ = wordsOf(line);
    } else if (!columns_.empty() && strspn(line, "0123456789abcdef") == 16) {
        std::vector<std::string> words = wordsOf(line);
        Row row;
        for (size_t i = 0; i < words.size() && i < columns_.size(); i++) {
            if (columns_[i] == "LOC") {
                row.address = strtoull(words[i].c_str(), nullptr, 16);
            } else if (columns_[i] == "CFA") {
                row.cfa = words[i];
            } else if (columns_[i] == "rbp") {
                row.rbp = words[i];
            } else if (columns_[i] == "rsp") {
                row.rsp = words[i];
            } else if (columns_[i] == "ra") {
                row.returnAddress = words[i];
            }
        }
        rows_.push_back(row);
    }
}

/** Whether it is code, or the padding before it, whose rule does not come from call frame information. */
bool Checker::isTold(uint64_t address) const {
    // Between functions, what is more than padding may have been followed.
    static constexpr char padding[] = "\0\x90\xcc\x0f\x1f\x66\x2e\x40\x44\x80\x84";
    char bytes[16] = {};
    std::optional<uint64_t> offset = elf_.fileOffsetOf(address);
    size_t sizeBytes = offset ? source_.readSome(*offset, bytes, sizeof bytes) : 0;
    if (std::any_of(bytes, bytes + sizeBytes, [](char byte) { return !memchr(padding, byte, sizeof padding - 1); })) {
        return true;
    }
    return std::any_of(shaped_.begin(), shaped_.end(),
                       [address](const auto &range) { return address + 16 > range.first && address < range.second; });
}

Counts Checker::finish() {
    closeFunction();
    // Behind a function that nothing follows there is no rule.
    for (auto at = functions_.begin(); at != functions_.end() && !isGo_; ++at) {
        auto next = std::next(at);
        uint64_t nextBegin = next != functions_.end() ? next->first : UINT64_MAX;
        if (nextBegin >= at->second && nextBegin - at->second > 15) {
            counts_.gaps++;
            if (unwind::unwindRuleAt(table_, at->second) != UNWIND_CFA_NONE && !isTold(at->second)) {
                fprintf(stderr, "%" PRIx64 ": a rule where no function is\n", at->second);
                counts_.differing++;
            }
        }
    }
    return counts_;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("usage: readelf --debug-dump=frames-interp FILE | readelf-check FILE [go]\n", stderr);
        return 2;
    }
    symbols::UniqueFd fd(open(argv[1], O_RDONLY | O_CLOEXEC));
    symbols::ByteSource source = symbols::ByteSource::ofFile(fd.get());
    std::optional<symbols::ElfFile> elf = symbols::ElfFile::read(source);
    std::string problem;
    std::optional<unwind::UnwindTable> table = elf ? unwind::buildUnwindTable(source, *elf, problem) : std::nullopt;
    if (!table || !problem.empty()) {
        fprintf(stderr, "%s: no whole table: %s\n", argv[1], problem.c_str());
        return 1;
    }
    Checker checker(source, *elf, *table, argc > 2);
    checker.tell(elf->entryAddress(), elf->entryAddress() + 1);
    for (const symbols::Section &section : elf->readSections(source)) {
        if (section.name.starts_with(".plt") || section.name == ".iplt") {
            checker.tell(section.address, section.address + section.sizeBytes);
        }
    }
    char line[4096];
    while (fgets(line, sizeof line, stdin) != nullptr) {
        checker.readLine(line);
    }
    Counts counts = checker.finish();
    printf("functions %zu rows %zu differing %zu unsupported %zu special %zu ends %zu source %s rows-packed %u bytes "
           "%zu\n",
           counts.functions, counts.rows, counts.differing, counts.unsupported, counts.special, counts.gaps,
           table->source.c_str(), table->rowCount, table->bytes.size() + table->pages.size() * sizeof(unwind_page));
    return counts.differing == 0 && counts.rows > 0 ? 0 : 1;
}
