/** Searching for functions by name, and for the places where Go functions return. */
#include "symbol-search.h"

#include <algorithm>
#include <capstone/capstone.h>
#include <cerrno>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unordered_set>

#include "demangle.h"
#include "elf-symbols.h"

namespace hotspan::symbols {
namespace {

// The largest Go functions (generated tables and parsers) have about 100 KB.
constexpr uint64_t maxCodeBytes = 1U << 20;

/** One character of the text against one element of the pattern; the element's end. npos: no match. */
size_t matchOne(std::string_view pattern, size_t at, char c) {
    if (pattern[at] == '?') {
        return at + 1;
    }
    size_t end = pattern[at] == '[' ? pattern.find(']', at + 2) : std::string_view::npos;
    if (end == std::string_view::npos) {
        return pattern[at] == c ? at + 1 : std::string_view::npos;
    }
    size_t i = at + 1;
    bool isNegated = pattern[i] == '!' || pattern[i] == '^';
    i += isNegated ? 1 : 0;
    bool isIn = false;
    for (; i < end; i++) {
        if (i + 2 < end && pattern[i + 1] == '-') {
            isIn = isIn || (c >= pattern[i] && c <= pattern[i + 2]);
            i += 2;
        } else {
            isIn = isIn || c == pattern[i];
        }
    }
    return isIn != isNegated ? end + 1 : std::string_view::npos;
}

/** Capstone's handle for the file's machine; closed at the end. */
class Disassembler {
  public:
    explicit Disassembler(uint16_t machine) {
        if (machine == EM_X86_64) {
            isOpen_ = cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) == CS_ERR_OK;
            returns_ = {X86_INS_RET};
        } else if (machine == EM_AARCH64) {
            isOpen_ = cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &handle_) == CS_ERR_OK;
            returns_ = {ARM64_INS_RET};
        }
    }
    ~Disassembler() {
        if (isOpen_) {
            cs_close(&handle_);
        }
    }
    Disassembler(const Disassembler &) = delete;
    Disassembler &operator=(const Disassembler &) = delete;

    /**
     * Offsets from the beginning of the code of its return instructions. Nothing if any instruction is not understood:
     * what comes after it may be out of step, and a breakpoint inside of an instruction would break the program.
     */
    std::vector<uint64_t> returns(const std::vector<uint8_t> &code) {
        std::vector<uint64_t> offsets;
        cs_insn *instruction = isOpen_ ? cs_malloc(handle_) : nullptr;
        if (instruction == nullptr) {
            return offsets;
        }
        const uint8_t *at = code.data();
        size_t left = code.size();
        uint64_t address = 0;
        while (left > 0 && cs_disasm_iter(handle_, &at, &left, &address, instruction)) {
            if (std::find(returns_.begin(), returns_.end(), instruction->id) != returns_.end()) {
                offsets.push_back(instruction->address);
            }
        }
        cs_free(instruction, 1);
        if (left > 0) {
            offsets.clear();
        }
        return offsets;
    }

  private:
    csh handle_ = 0;
    bool isOpen_ = false;
    std::vector<unsigned> returns_;
};

} // namespace

bool matchesGlob(std::string_view pattern, std::string_view text) {
    size_t p = 0, t = 0;
    size_t star = std::string_view::npos, starText = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            starText = t;
            continue;
        }
        size_t next = p < pattern.size() ? matchOne(pattern, p, text[t]) : std::string_view::npos;
        if (next != std::string_view::npos) {
            p = next;
            t++;
        } else if (star != std::string_view::npos) {
            // Only the last star needs another try: what an earlier one matched can stay.
            p = star + 1;
            t = ++starText;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') {
        p++;
    }
    return p == pattern.size();
}

ProbeTargets findProbeTargets(const std::string &path, std::string_view pattern, size_t limit) {
    ProbeTargets result;
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0) {
        result.error = errno;
        return result;
    }
    ByteSource source = ByteSource::ofFile(fd.get());
    std::optional<ElfFile> file = S_ISREG(status.st_mode) ? ElfFile::read(source) : std::nullopt;
    if (!file) {
        result.error = ENOEXEC;
        return result;
    }
    std::vector<Section> sections = file->readSections(source);
    bool isGo = isGoFile(sections);
    bool isDemangledWanted = pattern.find_first_of(":<( ") != std::string_view::npos;
    std::unordered_set<std::string> seen;
    forEachFunctionSymbol(source, *file, sections, [&](const FunctionSymbol &symbol) {
        bool isMangled = symbol.name.starts_with("_Z") || symbol.name.starts_with("_R");
        bool isMatch = matchesGlob(pattern, symbol.name);
        if (!isMatch && !(isDemangledWanted && isMangled)) {
            return true;
        }
        std::string name = isMangled ? demangle(symbol.name).name : std::string(symbol.name);
        // "ns::f" means each function of that name, whatever its arguments.
        isMatch = isMatch || matchesGlob(pattern, name) ||
                  matchesGlob(pattern, std::string_view(name).substr(0, name.find('(')));
        std::optional<uint64_t> offset = file->fileOffsetOf(symbol.address);
        if (isMatch && offset && seen.insert(name + "@" + std::to_string(*offset)).second) {
            result.targets.push_back({std::move(name), *offset, symbol.sizeBytes, isGo, {}});
        }
        return result.targets.size() < limit;
    });
    if (result.targets.empty() && !file->isWhole(source)) {
        result.error = EBADMSG;
        return result;
    }
    std::sort(result.targets.begin(), result.targets.end(), [](const ProbeTarget &a, const ProbeTarget &b) {
        return a.name != b.name ? a.name < b.name : a.fileOffset < b.fileOffset;
    });
    Disassembler disassembler(file->machine());
    for (ProbeTarget &target : result.targets) {
        if (!isGo || target.sizeBytes == 0 || target.sizeBytes > maxCodeBytes) {
            continue;
        }
        std::vector<uint8_t> code(target.sizeBytes);
        if (source.readAt(target.fileOffset, code.data(), code.size())) {
            target.returnOffsets = disassembler.returns(code);
        }
        for (uint64_t &offset : target.returnOffsets) {
            offset += target.fileOffset;
        }
    }
    return result;
}

std::vector<KernelFunction> findKernelFunctions(const KernelTable &table, std::string_view pattern, size_t limit) {
    std::vector<KernelFunction> functions;
    for (size_t i = 0; i < table.size() && functions.size() < limit; i++) {
        KernelTable::Match match = table.at(i);
        // A part split off a function (".cold") is jumped to, not called; programs and trampolines are not functions to
        // probe.
        bool isCallable = match.name.find(".cold") == std::string_view::npos && match.module != "bpf" &&
                          !match.module.starts_with("__builtin__");
        if (isCallable && matchesGlob(pattern, match.name)) {
            functions.push_back({std::string(match.name), match.address});
        }
    }
    return functions;
}

} // namespace hotspan::symbols
