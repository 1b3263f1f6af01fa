/**
 * Names of kernel code from /proc/kallsyms: the kernel's own functions, those of its modules, BPF programs and ftrace
 * trampolines. About 25 bytes a function. A table is built once and then only read; KernelSymbols swaps in a new one
 * when modules or BPF programs come or go.
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

namespace hotspan::symbols {

class KernelTable {
  public:
    struct Match {
        std::string_view name;
        /** "nf_tables", "bpf"; empty for the kernel itself. */
        std::string_view module;
        uint64_t address = 0;
    };

    /** From the text of kallsyms; for tests. */
    static KernelTable parse(std::string_view text);
    /** From /proc/kallsyms; what there is so far once cancelled. */
    static KernelTable read(const std::atomic<bool> &isCancelled);

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

class KernelSymbols {
  public:
    /** The newest table, read at the first call: about 60 ms for 120,000 symbols. Any thread. */
    std::shared_ptr<const KernelTable> table();
    /**
     * As table(), but first asks the kernel whether modules or BPF programs came or went, and reads anew if so.
     * `isMiss`: an address was not found, so a reading older than 30 s is not trusted either. `mayWait`: up to a
     * second, so that what is returned is not known to be out of date.
     */
    std::shared_ptr<const KernelTable> freshTable(bool isMiss, bool mayWait);
    /** The newest table there is without waiting for a reading under way on another thread. */
    std::shared_ptr<const KernelTable> newestTable();
    /** A reading under way ends at once, and its table is of no use: for closing. */
    void cancel() { isCancelled_ = true; }

  private:
    std::shared_ptr<const KernelTable> readLocked();
    std::atomic<bool> isCancelled_{false};
    /** Held while reading. */
    std::mutex mutex_;
    /** Guards table_ alone, which changes with both held. */
    std::mutex tableMutex_;
    std::shared_ptr<const KernelTable> table_;
    uint64_t fingerprint_ = 0;
    uint64_t checkedNs_ = 0;
    uint64_t readNs_ = 0;
};

} // namespace hotspan::symbols
