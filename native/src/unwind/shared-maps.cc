/** Making, filling and closing of the shared maps. */
#include "shared-maps.h"

#include <bpf/bpf.h>
#include <cerrno>
#include <cstdio>
#include <sys/mman.h>

#include "../../../bpf/lib/unwind-table.h"

namespace hotspan::unwind {
namespace {

symbols::UniqueFd createBlock() {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    return symbols::UniqueFd(
        bpf_map_create(BPF_MAP_TYPE_ARRAY, "unwind_block", sizeof(uint32_t), UNWIND_BLOCK_BYTES, 1, &options));
}

/** "memlock:" of a map's fdinfo. */
uint64_t chargedBytes(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    if (file == nullptr) {
        return 0;
    }
    char line[128];
    unsigned long long bytes = 0;
    while (fgets(line, sizeof line, file) != nullptr && sscanf(line, "memlock: %llu", &bytes) != 1) {
    }
    fclose(file);
    return bytes;
}

} // namespace

SharedMaps::~SharedMaps() {
    for (Block &block : open_) {
        if (block.memory != nullptr) {
            munmap(block.memory, UNWIND_BLOCK_BYTES);
        }
    }
}

int SharedMaps::create(std::string &failed) {
    failed = "unwind_processes";
    processes_ = symbols::UniqueFd(bpf_map_create(BPF_MAP_TYPE_HASH, "unwind_process", sizeof(uint32_t),
                                                  sizeof(struct unwind_process), maxProcesses, nullptr));
    if (!processes_) {
        return -errno;
    }
    failed = "unwind_blocks";
    // The kernel takes the shape of all blocks from one that is given here; it may be closed after.
    symbols::UniqueFd shape = createBlock();
    if (!shape) {
        return -errno;
    }
    LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<__u32>(shape.get()));
    outer_ = symbols::UniqueFd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "unwind_blocks", sizeof(uint32_t),
                                              sizeof(uint32_t), UNWIND_MAX_BLOCKS, &options));
    if (!outer_) {
        return -errno;
    }
    open_.resize(UNWIND_MAX_BLOCKS);
    return 0;
}

uint8_t *SharedMaps::open(uint32_t number) {
    symbols::UniqueFd fd = createBlock();
    if (!fd) {
        return nullptr;
    }
    void *memory = mmap(nullptr, UNWIND_BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) {
        return nullptr;
    }
    int value = fd.get();
    if (bpf_map_update_elem(outer_.get(), &number, &value, BPF_ANY) != 0) {
        munmap(memory, UNWIND_BLOCK_BYTES);
        return nullptr;
    }
    open_[number] = {std::move(fd), static_cast<uint8_t *>(memory)};
    return open_[number].memory;
}

void SharedMaps::hide(uint32_t number) {
    // Our descriptor keeps the block alive until close(): kernels before 6.8 free an inner map without waiting for all
    // of its readers.
    bpf_map_delete_elem(outer_.get(), &number);
}

void SharedMaps::close(uint32_t number) {
    Block &block = open_[number];
    munmap(block.memory, UNWIND_BLOCK_BYTES);
    block.memory = nullptr;
    block.fd.reset();
}

bool SharedMaps::publish(int pid, uint64_t list) {
    auto key = static_cast<uint32_t>(pid);
    struct unwind_process value = {list};
    return bpf_map_update_elem(processes_.get(), &key, &value, BPF_ANY) == 0;
}

void SharedMaps::remove(int pid) {
    auto key = static_cast<uint32_t>(pid);
    bpf_map_delete_elem(processes_.get(), &key);
}

uint64_t SharedMaps::fixedBytes() const {
    return chargedBytes(processes_.get()) + chargedBytes(outer_.get());
}

} // namespace hotspan::unwind
