/** Parsing of /proc/kallsyms and noticing when it changed. */
#include "kernel-symbols.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "byte-source.h"
#include "clock.h"

namespace hotspan::symbols {
namespace {

// The largest kernels (distribution kernels with all modules loaded) show about 300,000 text symbols.
constexpr size_t maxSymbols = 1'000'000;
constexpr size_t maxNameBytes = 32U << 20;

// The check takes 0.1 ms, the reading 60 ms: at most a sixteenth of a core where programs come and go all the time. A
// name from a table known to be out of date could be another program's, so it is waited for instead.
constexpr uint64_t minCheckIntervalNs = 20 * nsPerMs;
constexpr uint64_t minReadIntervalNs = nsPerS;
// The check may not be permitted (bpf() without CAP_BPF): what is not found is then looked for anew after this long.
constexpr uint64_t maxMissAgeNs = 30 * nsPerS;

bool isText(char type) {
    return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

/** Padding before functions, which never runs (CONFIG_CALL_PADDING, kCFI): half of all symbols where it is on. */
bool isPadding(std::string_view name) {
    return name.starts_with("__pfx_") || name.starts_with("__cfi_");
}

/** Marks the end of a section, not the beginning of a function. */
bool isEndMarker(std::string_view name) {
    return name == "_etext" || name == "_einittext" || name == "__entry_text_end" || name == "__irqentry_text_end" ||
           name == "__softirqentry_text_end" || name == "__noinstr_text_end";
}

/** What tells that modules or BPF programs came or went, far cheaper than to read kallsyms (60 ms). */
uint64_t readFingerprint() {
    uint64_t hash = 0xcbf29ce484222325ULL;
    auto mix = [&hash](const void *data, size_t size) {
        for (size_t i = 0; i < size; i++) {
            hash = (hash ^ static_cast<const uint8_t *>(data)[i]) * 0x100000001b3ULL;
        }
    };
    UniqueFd modules(open("/proc/modules", O_RDONLY | O_CLOEXEC));
    char buffer[8192];
    for (ssize_t got; modules && (got = ::read(modules.get(), buffer, sizeof buffer)) > 0;) {
        mix(buffer, static_cast<size_t>(got));
    }
    union bpf_attr attribute;
    uint32_t id = 0;
    // Ids grow and are not reused soon. The bound is for a host with absurdly many programs: they only cost a later
    // re-read.
    for (int i = 0; i < 10000; i++) {
        memset(&attribute, 0, sizeof attribute);
        attribute.start_id = id;
        if (syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attribute, sizeof attribute) != 0) {
            break;
        }
        id = attribute.next_id;
        mix(&id, sizeof id);
    }
    return hash;
}

} // namespace

class KallsymsParser {
  public:
    void feed(std::string_view text) {
        while (!text.empty()) {
            size_t end = text.find('\n');
            if (end == std::string_view::npos) {
                if (rest_.size() < 4096) {
                    rest_.append(text);
                }
                return;
            }
            if (rest_.empty()) {
                takeLine(text.substr(0, end));
            } else {
                rest_.append(text.substr(0, end));
                takeLine(rest_);
                rest_.clear();
            }
            text.remove_prefix(end + 1);
        }
    }

    KernelTable take();

  private:
    struct Candidate {
        uint64_t address;
        uint32_t name;
        uint16_t nameBytes;
        uint8_t module;
        bool isGlobal;
    };

    void takeLine(std::string_view line);
    uint8_t moduleIndex(std::string_view name);
    void takeImageBound(uint64_t address, std::string_view name);

    std::string rest_;
    std::vector<Candidate> candidates_;
    size_t hidden_ = 0;
    uint64_t textStart_ = 0;
    uint64_t imageEnd_ = 0;
    KernelTable table_;
};

uint8_t KallsymsParser::moduleIndex(std::string_view name) {
    std::vector<std::string> &modules = table_.modules_;
    if (modules.empty()) {
        modules.emplace_back();
    }
    if (modules.back() == name) {
        return static_cast<uint8_t>(modules.size() - 1);
    }
    for (size_t i = 0; i < modules.size(); i++) {
        if (modules[i] == name) {
            return static_cast<uint8_t>(i);
        }
    }
    // More than 255 modules with symbols: the rest share one entry rather than make every symbol larger.
    if (modules.size() == 255) {
        modules.emplace_back("module");
    }
    if (modules.size() > 255) {
        return 255;
    }
    modules.emplace_back(name);
    return static_cast<uint8_t>(modules.size() - 1);
}

void KallsymsParser::takeImageBound(uint64_t address, std::string_view name) {
    if (name == "_stext" || name == "_text") {
        textStart_ = textStart_ == 0 ? address : std::min(textStart_, address);
    }
    imageEnd_ = std::max(imageEnd_, address);
}

void KallsymsParser::takeLine(std::string_view line) {
    uint64_t address = 0;
    auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
    line.remove_prefix(static_cast<size_t>(end - line.data()));
    if (error != std::errc{} || line.size() < 4 || line[0] != ' ' || line[2] != ' ' || !isText(line[1]) ||
        candidates_.size() >= maxSymbols || table_.names_.size() >= maxNameBytes) {
        return;
    }
    bool isGlobal = line[1] == 'T';
    std::string_view name = line.substr(3);
    std::string_view module;
    if (size_t tab = name.find('\t'); tab != std::string_view::npos) {
        module = name.substr(tab + 1);
        name = name.substr(0, tab);
        if (module.size() > 2 && module.front() == '[' && module.back() == ']') {
            module = module.substr(1, module.size() - 2);
        }
    }
    if (name.size() > 1024 || isPadding(name)) {
        return;
    }
    hidden_ += address == 0;
    if (module.empty()) {
        takeImageBound(address, name);
    }
    candidates_.push_back({address, static_cast<uint32_t>(table_.names_.size()), static_cast<uint16_t>(name.size()),
                           moduleIndex(module), isGlobal});
    table_.names_.append(name).push_back('\0');
}

KernelTable KallsymsParser::take() {
    if (!rest_.empty()) {
        takeLine(std::string(std::move(rest_)));
    }
    // On x86-64 a few per-CPU symbols have small addresses in old kernels; all of them zero means hidden.
    table_.isRestricted_ = hidden_ > candidates_.size() / 2 || candidates_.empty();
    std::erase_if(candidates_, [](const Candidate &candidate) { return candidate.address >> 63 == 0; });
    auto nameOf = [this](const Candidate &c) { return std::string_view(table_.names_.data() + c.name, c.nameBytes); };
    std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate &a, const Candidate &b) {
        if (a.address != b.address) {
            return a.address < b.address;
        }
        if (a.isGlobal != b.isGlobal) {
            return a.isGlobal;
        }
        std::string_view x = nameOf(a), y = nameOf(b);
        bool isXPlain = x[0] != '_', isYPlain = y[0] != '_';
        return isXPlain != isYPlain ? isXPlain : (x.size() != y.size() ? x.size() < y.size() : x < y);
    });
    table_.base_ = candidates_.empty() ? 0 : candidates_[0].address;
    // Everything that kallsyms lists without a module belongs to the image.
    table_.imageStart_ = textStart_ != 0 ? textStart_ : table_.base_;
    table_.imageEnd_ = imageEnd_ == 0 ? ~uint64_t{0} : imageEnd_ + 4096;
    table_.offsets_.reserve(candidates_.size());
    table_.nameOffsets_.reserve(candidates_.size());
    table_.moduleIndexes_.reserve(candidates_.size());
    for (const Candidate &candidate : candidates_) {
        uint64_t offset = candidate.address - table_.base_;
        // Image, modules and BPF programs lie within 2 GB of each other, or near calls between them would not reach.
        if (offset <= UINT32_MAX) {
            table_.offsets_.push_back(static_cast<uint32_t>(offset));
            table_.nameOffsets_.push_back(candidate.name);
            table_.moduleIndexes_.push_back(candidate.module);
        }
    }
    table_.names_.shrink_to_fit();
    return std::move(table_);
}

KernelTable KernelTable::parse(std::string_view text) {
    KallsymsParser parser;
    parser.feed(text);
    return parser.take();
}

KernelTable KernelTable::read(const std::atomic<bool> &isCancelled) {
    KallsymsParser parser;
    UniqueFd fd(open("/proc/kallsyms", O_RDONLY | O_CLOEXEC));
    std::vector<char> buffer(1U << 16);
    for (ssize_t got; fd && !isCancelled && (got = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) {
        parser.feed({buffer.data(), static_cast<size_t>(got)});
    }
    return parser.take();
}

KernelTable::Match KernelTable::at(size_t index) const {
    return {std::string_view(names_.c_str() + nameOffsets_[index]), modules_[moduleIndexes_[index]],
            base_ + offsets_[index]};
}

std::optional<KernelTable::Match> KernelTable::find(uint64_t address) const {
    if (offsets_.empty() || address < base_ || address - base_ > UINT32_MAX) {
        return std::nullopt;
    }
    auto offset = static_cast<uint32_t>(address - base_);
    auto after = std::upper_bound(offsets_.begin(), offsets_.end(), offset);
    if (after == offsets_.begin()) {
        return std::nullopt;
    }
    auto first = std::lower_bound(offsets_.begin(), after, *(after - 1));
    Match match = at(static_cast<size_t>(first - offsets_.begin()));
    // kallsyms has no sizes. The last symbol of the image or a module does not own the gap up to the next one: no
    // function is that long.
    constexpr uint64_t maxFunctionBytes = 1U << 18;
    if (isEndMarker(match.name) || address - match.address >= maxFunctionBytes) {
        return std::nullopt;
    }
    return match;
}

size_t KernelTable::bytes() const {
    size_t bytes = sizeof *this + names_.capacity() + moduleIndexes_.capacity() +
                   (offsets_.capacity() + nameOffsets_.capacity()) * sizeof(uint32_t);
    for (const std::string &module : modules_) {
        bytes += sizeof module + module.capacity();
    }
    return bytes;
}

std::shared_ptr<const KernelTable> KernelSymbols::readLocked() {
    readNs_ = checkedNs_ = monotonicNs();
    // Before the reading: what changes during it is noticed at the next check.
    fingerprint_ = readFingerprint();
    auto table = std::make_shared<const KernelTable>(KernelTable::read(isCancelled_));
    std::lock_guard lock(tableMutex_);
    table_ = table;
    return table;
}

std::shared_ptr<const KernelTable> KernelSymbols::table() {
    std::lock_guard lock(mutex_);
    return table_ ? table_ : readLocked();
}

std::shared_ptr<const KernelTable> KernelSymbols::newestTable() {
    if (mutex_.try_lock()) {
        mutex_.unlock();
        return freshTable(false, false);
    }
    {
        std::lock_guard lock(tableMutex_);
        if (table_) {
            return table_;
        }
    }
    return table();
}

std::shared_ptr<const KernelTable> KernelSymbols::freshTable(bool isMiss, bool mayWait) {
    std::lock_guard lock(mutex_);
    if (!table_) {
        return readLocked();
    }
    uint64_t now = monotonicNs();
    bool isStale = isMiss && now - readNs_ > maxMissAgeNs;
    if (!isStale && now - checkedNs_ > minCheckIntervalNs) {
        checkedNs_ = now;
        isStale = readFingerprint() != fingerprint_;
    }
    if (!isStale) {
        return table_;
    }
    if (now - readNs_ < minReadIntervalNs) {
        if (!mayWait) {
            // Noticed again by the next call.
            checkedNs_ = 0;
            return table_;
        }
        uint64_t waitNs = minReadIntervalNs - (now - readNs_);
        timespec wait{static_cast<time_t>(waitNs / nsPerS), static_cast<long>(waitNs % nsPerS)};
        nanosleep(&wait, nullptr);
    }
    return readLocked();
}

} // namespace hotspan::symbols
