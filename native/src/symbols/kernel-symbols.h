/**
 * Names of kernel code: the kernel's own functions, those of its modules and trampolines from /proc/kallsyms, about 25
 * bytes a function, and BPF programs as the kernel tells of each. A table is built once and then only read;
 * KernelSymbols swaps in a new one when modules or BPF programs come or go, and reads kallsyms anew only for what
 * nothing else tells: modules, and trampolines that are met.
 */
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf-programs.h"

namespace hotspan::symbols {

/** What kallsyms said when it was read. */
class Kallsyms {
  public:
    struct Match {
        std::string_view name;
        /** "nf_tables", "bpf"; empty for the kernel itself. */
        std::string_view module;
        uint64_t address = 0;
    };

    /** From the text of kallsyms; for tests. */
    static Kallsyms parse(std::string_view text);
    /** From /proc/kallsyms; what there is so far once cancelled. */
    static Kallsyms read(const std::atomic<bool> &isCancelled);

    std::optional<Match> find(uint64_t address) const;
    /** All addresses were shown as zero: kernel.kptr_restrict or missing CAP_SYSLOG hides them. */
    bool isRestricted() const { return isRestricted_; }
    /** Not a part of the kernel's image: what is there can be unloaded and its place taken by something else. */
    bool isDynamic(uint64_t address) const { return address < imageStart_ || address >= imageEnd_; }
    size_t size() const { return offsets_.size(); }
    size_t bytes() const;
    /** Symbol by index, in order of addresses; several may share one address, the best name first. */
    Match at(size_t index) const;

  private:
    friend class KallsymsParser;
    uint64_t base_ = 0;
    uint64_t imageStart_ = 0;
    uint64_t imageEnd_ = ~uint64_t{0};
    bool isRestricted_ = false;
    std::vector<uint32_t> offsets_;
    std::vector<uint32_t> nameOffsets_;
    std::vector<uint8_t> moduleIndexes_;
    std::vector<std::string> modules_;
    std::string names_;
};

/** Kallsyms, and the BPF programs of a later moment. */
class KernelTable {
  public:
    using Match = Kallsyms::Match;

    /** `programs`: null where the kernel tells nothing of them. `isOutdated`: some came or went since kallsyms was
     * read. */
    KernelTable(std::shared_ptr<const Kallsyms> kallsyms, std::shared_ptr<const BpfFunctions> programs, bool isOutdated)
        : kallsyms_(std::move(kallsyms)), programs_(std::move(programs)), isOutdated_(isOutdated) {}

    std::optional<Match> find(uint64_t address) const;
    const Kallsyms &kallsyms() const { return *kallsyms_; }
    bool isDynamic(uint64_t address) const { return kallsyms_->isDynamic(address); }
    size_t bytes() const { return kallsyms_->bytes() + (programs_ ? programs_->bytes() : 0); }

  private:
    std::shared_ptr<const Kallsyms> kallsyms_;
    std::shared_ptr<const BpfFunctions> programs_;
    bool isOutdated_;
};

class KernelSymbols {
  public:
    /** The newest table, read at the first call: about 60 ms for 120,000 symbols. Any thread. */
    std::shared_ptr<const KernelTable> table();
    /**
     * As table(), but first asks the kernel whether modules or BPF programs came or went, and is up to date if so.
     * `isMiss`: an address was not found, so kallsyms is not trusted where programs came or went since it was read, nor
     * a reading older than 30 s. `mayWait`: up to a second, so that what is returned is not known to be out of date.
     */
    std::shared_ptr<const KernelTable> freshTable(bool isMiss, bool mayWait);
    /** The newest table there is without waiting for a reading under way on another thread. */
    std::shared_ptr<const KernelTable> newestTable();
    /** A reading under way ends at once, and its table is of no use: for closing. */
    void cancel() { isCancelled_ = true; }

  private:
    std::shared_ptr<const KernelTable> readLocked();
    std::shared_ptr<const KernelTable> swapLocked(bool isOutdated);
    /** Asks what came or went: true where kallsyms has to be read anew for it. */
    bool checkLocked();
    std::atomic<bool> isCancelled_{false};
    /** Held while reading. */
    std::mutex mutex_;
    /** Guards table_ alone, which changes with both held. */
    std::mutex tableMutex_;
    std::shared_ptr<const KernelTable> table_;
    std::shared_ptr<const Kallsyms> kallsyms_;
    BpfPrograms programs_;
    /** BPF programs came or went since kallsyms was read. */
    bool isOutdated_ = false;
    uint64_t modules_ = 0;
    uint64_t checkedNs_ = 0;
    uint64_t readNs_ = 0;
};

} // namespace hotspan::symbols
