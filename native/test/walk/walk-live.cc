// Samples every CPU by the programs of source cpu, with unwind tables of some processes that are made and put into the
// maps right here, and prints the stacks of those. What the unwinder of the agent does over time for all processes is
// done once for a few, so that the walk is tested and measured by itself.
//
//   walk-live OBJECT PID[,PID...] HZ SECONDS [untold]     OBJECT: cpu.bpf.o
//
// Processes that are stopped go on when sampling begins. Prints "map PID START END BIAS PATH" for each mapping, "sample
// PID END RAW_BYTES ADDRESS..." for each sample (addresses in hex, the end by its number), "times COUNT..." for the
// walks by duration, and "cost RUNS NANOSECONDS" of the program. Where the programs are left untold of the processes,
// their stacks come as copies: they are walked here, and "resumed PID END ADDRESS..." is what became of each.
#include <algorithm>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <map>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "../../../bpf/cpu/cpu.h"
#include "symbols/proc-maps.h"
#include "unwind/walk.h"

using namespace hotspan;

namespace {

constexpr uint32_t timeSteps = 4000;

unwind::TableImage image;
/** Of the processes that are watched: where their mappings stand in the blocks. */
std::map<pid_nr, uint64_t> lists;

[[noreturn]] void fail(const char *what) {
    fprintf(stderr, "walk-live: %s: %s\n", what, strerror(errno));
    exit(1);
}

/** Code of a mapping: of its file, or for the vdso of the process's memory. */
struct Code {
    symbols::UniqueFd fd;
    std::vector<uint8_t> bytes;
    symbols::ByteSource source = symbols::ByteSource::ofMemory(nullptr, 0);
    std::optional<symbols::ElfFile> elf;
    std::optional<unwind::UnwindTable> table;
};

void readCode(Code &code, int pid, const symbols::Mapping &mapping, const std::string &path) {
    if (path == "[vdso]") {
        symbols::UniqueFd memory(open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
        code.bytes.resize(mapping.end - mapping.start);
        if (pread(memory.get(), code.bytes.data(), code.bytes.size(), static_cast<off_t>(mapping.start)) < 0) {
            fail("read the vdso");
        }
        code.source = symbols::ByteSource::ofMemory(code.bytes.data(), code.bytes.size());
    } else {
        code.fd.reset(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        code.source = symbols::ByteSource::ofFile(code.fd.get());
    }
    code.elf = symbols::ElfFile::read(code.source);
    std::string problem;
    if (code.elf) {
        code.table = unwind::buildUnwindTable(code.source, *code.elf, problem);
    }
}

/** The process's mappings and tables, as they are now. */
void fillImage(pid_nr pid) {
    image.startNext();
    static std::map<std::string, Code> codes;
    std::optional<symbols::Mappings> all = symbols::readMappings(static_cast<int>(pid), 10'000);
    if (!all) {
        fail("read mappings");
    }
    for (const symbols::Mapping &one : all->mappings) {
        const std::string &path = all->paths[one.path];
        unwind_mapping mapping{};
        mapping.start = one.start;
        mapping.end = one.end;
        mapping.kind = UNWIND_MAPPING_JIT;
        const unwind::UnwindTable *table = nullptr;
        if (path == "[vdso]" || path.starts_with("/")) {
            auto [place, isNew] = codes.try_emplace(path);
            if (isNew) {
                readCode(place->second, static_cast<int>(pid), one, path);
            }
            const Code &code = place->second;
            std::optional<uint64_t> address = code.elf ? code.elf->addressOf(one.fileOffset) : std::nullopt;
            if (code.table && address) {
                mapping.kind = UNWIND_MAPPING_TABLE;
                mapping.bias = one.start - *address;
                table = &*code.table;
            }
        }
        image.map(mapping, table);
        printf("map %u %" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n", pid, uint64_t{one.start}, uint64_t{one.end},
               uint64_t{mapping.bias}, path.c_str());
    }
    lists[pid] = image.tables().list;
}

/** Copies the blocks into maps of the kernel and tells the programs of the processes. */
void publish(bpf_object *object, const unwind::WalkTables &tables) {
    int outer = bpf_object__find_map_fd_by_name(object, "unwind_blocks");
    int processes = bpf_object__find_map_fd_by_name(object, "unwind_processes");
    for (uint32_t number = 0; number < tables.blocks.size(); number++) {
        LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
        symbols::UniqueFd block(
            bpf_map_create(BPF_MAP_TYPE_ARRAY, "block", sizeof(uint32_t), UNWIND_BLOCK_BYTES, 1, &options));
        uint32_t first = 0;
        int fd = block.get();
        if (fd < 0 || bpf_map_update_elem(fd, &first, tables.blocks[number], 0) ||
            bpf_map_update_elem(outer, &number, &fd, 0)) {
            fail("make a block");
        }
    }
    for (const auto &[pid, list] : lists) {
        unwind_process process{list};
        if (bpf_map_update_elem(processes, &pid, &process, 0)) {
            fail("tell of a process");
        }
    }
}

/** Sets a `const volatile` of one byte. */
void setConstant(bpf_object *object, const char *name) {
    bpf_map *rodata = bpf_object__find_map_by_name(object, ".rodata");
    const btf *types = bpf_object__btf(object);
    const btf_type *section = btf__type_by_id(types, static_cast<uint32_t>(btf__find_by_name(types, ".rodata")));
    size_t bytes = 0;
    auto *data = static_cast<uint8_t *>(const_cast<void *>(bpf_map__initial_value(rodata, &bytes)));
    const btf_var_secinfo *variable = btf_var_secinfos(section);
    for (int i = 0; i < btf_vlen(section); i++, variable++) {
        const btf_type *type = btf__type_by_id(types, variable->type);
        if (strcmp(btf__name_by_offset(types, type->name_off), name) == 0) {
            data[variable->offset] = 1;
            return;
        }
    }
    fail(name);
}

void printAddresses(const std::vector<uint64_t> &addresses) {
    for (uint64_t address : addresses) {
        printf(" %" PRIx64, address);
    }
    printf("\n");
}

/** Walks on from where the programs could not. */
void resume(pid_nr pid, const uint8_t *raw, size_t rawBytes) {
    unwind_resume from;
    memcpy(&from, raw, sizeof from);
    if (rawBytes != sizeof from + from.stack_bytes) {
        fprintf(stderr, "walk-live: a copy of %u bytes in %zu\n", from.stack_bytes, rawBytes);
        exit(1);
    }
    unwind::CopiedMemory memory(from.sp, {raw + sizeof from, from.stack_bytes});
    uint64_t registers[16];
    std::copy(std::begin(from.registers), std::end(from.registers), registers);
    unwind::WalkInput input{from.ip, from.sp, from.bp, registers, from.is_leaf != 0};
    unwind::WalkResult result = unwind::walkUser(input, memory, {image.tables().blocks, lists[pid]});
    printf("resumed %u %u", pid, result.end);
    printAddresses(result.addresses);
}

void printSample(void *, int, void *data, uint32_t) {
    auto *event = static_cast<const cpu_event *>(data);
    if (!lists.contains(event->header.pid)) {
        return;
    }
    const uint8_t *user = event->tail + event->kernel_depth * sizeof(code_addr);
    std::vector<uint64_t> addresses(event->user_depth);
    memcpy(addresses.data(), user, addresses.size() * sizeof(uint64_t));
    printf("sample %u %u %u", event->header.pid, event->user_end, event->user_raw_bytes);
    printAddresses(addresses);
    if (event->user_raw_bytes != 0) {
        resume(event->header.pid, user + addresses.size() * sizeof(uint64_t), event->user_raw_bytes);
    }
}

void countLost(void *, int, __u64 count) {
    printf("lost %llu\n", count);
}

void printTimes(bpf_object *object) {
    int fd = bpf_object__find_map_fd_by_name(object, "unwind_times");
    std::vector<uint64_t> perCpu(static_cast<size_t>(libbpf_num_possible_cpus()));
    printf("times");
    for (uint32_t step = 0; step < timeSteps; step++) {
        uint64_t sum = 0;
        if (bpf_map_lookup_elem(fd, &step, perCpu.data())) {
            fail("read times");
        }
        for (uint64_t count : perCpu) {
            sum += count;
        }
        printf(" %" PRIu64, sum);
    }
    printf("\n");
}

void printCost(bpf_program *program) {
    bpf_prog_info info{};
    uint32_t bytes = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes)) {
        fail("read the program's cost");
    }
    printf("cost %llu %llu\n", info.run_cnt, info.run_time_ns);
}

/** On every CPU: a clock of one thread does not follow it to its others. */
std::vector<bpf_link *> sample(bpf_program *program, int hz) {
    std::vector<bpf_link *> links;
    perf_event_attr attributes{};
    attributes.size = sizeof attributes;
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    attributes.sample_freq = static_cast<uint64_t>(hz);
    attributes.freq = 1;
    for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++) {
        int fd = static_cast<int>(syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC));
        if (fd < 0 && errno == ENODEV) {
            continue; // not plugged in
        }
        links.push_back(fd < 0 ? nullptr : bpf_program__attach_perf_event(program, fd));
        if (links.back() == nullptr) {
            fail("sample");
        }
    }
    return links;
}

} // namespace

int main(int count, char **arguments) {
    if (count < 5 || count > 6) {
        fprintf(stderr, "usage: walk-live OBJECT PID[,PID...] HZ SECONDS [untold]\n");
        return 2;
    }
    int hz = atoi(arguments[3]);
    double seconds = atof(arguments[4]);
    bool isUntold = count == 6 && strcmp(arguments[5], "untold") == 0;
    for (char *pids = arguments[2]; *pids != '\0'; pids += *pids == ',') {
        fillImage(static_cast<pid_nr>(strtoul(pids, &pids, 10)));
    }
    bpf_object *object = bpf_object__open(arguments[1]);
    if (object == nullptr) {
        fail(arguments[1]);
    }
    setConstant(object, "unwind_is_on");
    setConstant(object, "unwind_is_timed");
    // As much as the processes need: without the agent's own there is room for next to nothing.
    const std::pair<const char *, size_t> rooms[] = {{"unwind_times", timeSteps},
                                                     {"unwind_processes", lists.size()},
                                                     {"unwind_blocks", image.tables().blocks.size()}};
    for (auto [name, entries] : rooms) {
        bpf_map__set_max_entries(bpf_object__find_map_by_name(object, name), static_cast<uint32_t>(entries));
    }
    symbols::UniqueFd statistics(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (bpf_object__load(object)) {
        fail("load");
    }
    if (!isUntold) {
        publish(object, image.tables());
    }
    perf_buffer *buffer = perf_buffer__new(bpf_object__find_map_fd_by_name(object, "cpu_events"), 256, printSample,
                                           countLost, nullptr, nullptr);
    bpf_program *program = bpf_object__find_program_by_name(object, "cpu_sample");
    std::vector<bpf_link *> links = sample(program, hz);
    for (const auto &[pid, list] : lists) {
        kill(static_cast<pid_t>(pid), SIGCONT);
    }
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    auto seconds_ = [](const timespec &time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    };
    double end = seconds_(now) + seconds;
    while (seconds_(now) < end) {
        perf_buffer__poll(buffer, 50);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    for (bpf_link *link : links) {
        bpf_link__destroy(link);
    }
    perf_buffer__consume(buffer);
    printTimes(object);
    printCost(program);
    perf_buffer__free(buffer);
    bpf_object__close(object);
}
