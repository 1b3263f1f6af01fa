/**
 * The maps that all programs which unwind share: unwind_processes and unwind_blocks of bpf/lib/unwind.h. Made once;
 * each object takes them in place of its own before it is loaded.
 */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "block-arena.h"
#include "../symbols/byte-source.h"

namespace hotspan::unwind {

class SharedMaps : public BlockSource {
  public:
    /** Processes that can be unwound at the same time. Preallocated, because it is read in NMIs: some 80 bytes each. */
    static constexpr uint32_t maxProcesses = 16384;

    SharedMaps() = default;
    ~SharedMaps() override;
    SharedMaps(const SharedMaps &) = delete;
    SharedMaps &operator=(const SharedMaps &) = delete;

    /** 0 or a negative errno; `failed` names what could not be made. */
    int create(std::string &failed);
    int processes() const { return processes_.get(); }
    int blocks() const { return outer_.get(); }

    uint8_t *open(uint32_t number) override;
    void hide(uint32_t number) override;
    void close(uint32_t number) override;

    /** Word of struct unwind_process. False where the map is full. */
    bool publish(int pid, uint64_t list);
    void remove(int pid);
    /** Of the two maps, without the blocks. */
    uint64_t fixedBytes() const;

  private:
    struct Block {
        symbols::UniqueFd fd;
        uint8_t *memory = nullptr;
    };
    symbols::UniqueFd processes_;
    symbols::UniqueFd outer_;
    std::vector<Block> open_;
};

} // namespace hotspan::unwind
