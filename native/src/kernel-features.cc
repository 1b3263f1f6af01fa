// Tries each kernel feature; see kernel-features.h.
#include "kernel-features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "attach.h"
#include "error.h"
#include "fd.h"
#include "kernel-config.h"
#include "libbpf-log.h"

namespace hotspan {

// A kernel function that every kernel has, that can be probed, and that is called often enough to be kept out of line.
static const char *const probed_function = "vfs_read";
// A tracepoint that every kernel has, and which is not hit while it is probed.
static const char *const probed_event = "sched_process_fork";

// Helper numbers of linux/bpf.h, which an older header may lack.
static constexpr int helper_get_func_ip = 173;
static constexpr int helper_get_attach_cookie = 174;

struct Program {
    bpf_prog_type type;
    int attach_type = 0;
    int btf_id = 0;
    int helper = 0; // called with the context, where not 0
};

// Loads "r0 = 0; exit", with a call of the helper before it. Invalid, with errno set, where the kernel refuses.
static Fd LoadTiny(const Program &program) {
    bpf_insn call{.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = program.helper};
    bpf_insn zero{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0};
    bpf_insn exit{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};
    bpf_insn code[3] = {call, zero, exit};
    bpf_insn *start = program.helper ? code : code + 1;
    bpf_prog_load_opts options{};
    options.sz = sizeof(options);
    options.expected_attach_type = static_cast<bpf_attach_type>(program.attach_type);
    options.attach_btf_id = static_cast<__u32>(program.btf_id);
    return Fd(bpf_prog_load(program.type, "hotspan_probe", "GPL", start, program.helper ? 3 : 2, &options));
}

// "loading it was refused (EPERM)"
static std::string Refused(const char *what, int error) {
    return std::string(what) + " was refused (" + ErrorCode(error) + ")";
}

static std::string Sentence(const std::string &words) {
    return "The kernel does not allow it: " + words + ".";
}

// The sentence for an option that the kernel says it lacks, else the fallback.
static std::string WithoutOption(const char *option, const std::string &fallback) {
    if (KernelOption(option) == 'n')
        return std::string("This kernel was built without ") + option + ".";
    return fallback;
}

static std::string RunEvent(const Fd &event, const Fd &program) {
    if (ioctl(event.get(), PERF_EVENT_IOC_SET_BPF, program.get()) != 0)
        return Sentence(Refused("attaching the program to the event", errno));
    return "";
}

static int ReadPmuType(const char *name) {
    std::string path = std::string("/sys/bus/event_source/devices/") + name + "/type";
    FILE *file = fopen(path.c_str(), "re");
    int type = -1;
    if (file && fscanf(file, "%d", &type) != 1)
        type = -1;
    if (file)
        fclose(file);
    return type;
}

static Fd OpenProbe(int pmu, const char *target, uint64_t offset, int pid, int cpu) {
    perf_event_attr attributes{};
    attributes.size = sizeof(attributes);
    attributes.type = static_cast<__u32>(pmu);
    attributes.config1 = reinterpret_cast<uint64_t>(target);
    attributes.config2 = offset;
    return Fd(static_cast<int>(syscall(SYS_perf_event_open, &attributes, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
}

static std::string TryBtf() {
    btf *types = btf__load_vmlinux_btf();
    if (!types)
        return WithoutOption("CONFIG_DEBUG_INFO_BTF",
                             "/sys/kernel/btf/vmlinux cannot be read (" + ErrorCode(errno) + ").");
    btf__free(types);
    return "";
}

static std::string TryKprobe() {
    int pmu = ReadPmuType("kprobe");
    if (pmu < 0)
        return WithoutOption("CONFIG_KPROBES",
                             "This kernel was built without CONFIG_KPROBES: perf has no kprobe events.");
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_KPROBE});
    if (!program)
        return Sentence(Refused("loading a kprobe program", errno));
    Fd event = OpenProbe(pmu, probed_function, 0, -1, 0);
    if (!event)
        return Sentence(Refused("a kprobe on vfs_read", errno));
    return RunEvent(event, program);
}

static std::string TryFentry() {
    int id = libbpf_find_vmlinux_btf_id(probed_function, BPF_TRACE_FENTRY);
    if (id < 0)
        return "The kernel's BTF has no function vfs_read to attach to.";
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_TRACING, .attach_type = BPF_TRACE_FENTRY, .btf_id = id});
    if (!program) {
        // With the rights to load the other kinds, EPERM here means that the kernel has no place to patch.
        std::string words = Refused("loading an fentry program for vfs_read", errno);
        return WithoutOption("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", Sentence(words));
    }
    Fd link(bpf_raw_tracepoint_open(nullptr, program.get()));
    return link ? "" : Sentence(Refused("attaching fentry to vfs_read", errno));
}

static std::string TryTracepoint() {
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_TRACEPOINT});
    if (!program)
        return Sentence(Refused("loading a tracepoint program", errno));
    int event = OpenTracepointEvent("sched", probed_event);
    if (event < 0)
        return WithoutOption("CONFIG_EVENT_TRACING", "The tracepoint sched:sched_process_fork cannot be opened (" +
                                                         ErrorCode(-event) + "): tracefs may be locked down.");
    return RunEvent(Fd(event), program);
}

static std::string TryRawTracepoint() {
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_RAW_TRACEPOINT});
    if (!program)
        return Sentence(Refused("loading a raw tracepoint program", errno));
    Fd link(bpf_raw_tracepoint_open(probed_event, program.get()));
    return link ? "" : Sentence(Refused("attaching to the raw tracepoint sched_process_fork", errno));
}

static std::string TryBtfTracepoint() {
    int id = libbpf_find_vmlinux_btf_id(probed_event, BPF_TRACE_RAW_TP);
    if (id < 0)
        return "The kernel's BTF does not describe the tracepoint sched_process_fork.";
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_TRACING, .attach_type = BPF_TRACE_RAW_TP, .btf_id = id});
    if (!program)
        return Sentence(Refused("loading a BTF tracepoint program", errno));
    Fd link(bpf_raw_tracepoint_open(nullptr, program.get()));
    return link ? "" : Sentence(Refused("attaching to the BTF tracepoint sched_process_fork", errno));
}

static std::string TrySampling(bool is_hardware) {
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_PERF_EVENT});
    if (!program)
        return Sentence(Refused("loading a perf event program", errno));
    int fd = OpenSamplingEvent(is_hardware, 1, -1, 0);
    if (fd < 0 && is_hardware)
        return "This machine gives perf no hardware cycle counter (" + ErrorCode(-fd) +
               "), as is usual in virtual machines.";
    if (fd < 0)
        return Sentence(Refused("sampling by cpu-clock", -fd));
    return RunEvent(Fd(fd), program);
}

// Where in its file the first instruction of this program's executable is. 0 where that cannot be read.
static uint64_t EntryOffset(const char *path) {
    FILE *file = fopen(path, "re");
    Elf64_Ehdr header{};
    uint64_t offset = 0;
    bool is_read = file && fread(&header, sizeof(header), 1, file) == 1 &&
                   fseek(file, static_cast<long>(header.e_phoff), SEEK_SET) == 0;
    for (int i = 0; is_read && i < header.e_phnum; i++) {
        Elf64_Phdr segment{};
        if (fread(&segment, sizeof(segment), 1, file) != 1)
            break;
        if (segment.p_type == PT_LOAD && header.e_entry >= segment.p_vaddr &&
            header.e_entry < segment.p_vaddr + segment.p_filesz)
            offset = header.e_entry - segment.p_vaddr + segment.p_offset;
    }
    if (file)
        fclose(file);
    return offset;
}

// On the first instruction of this process's own executable, for this thread alone: it ran once, and does not run
// again.
static std::string TryUprobe() {
    int pmu = ReadPmuType("uprobe");
    if (pmu < 0)
        return WithoutOption("CONFIG_UPROBES",
                             "This kernel was built without CONFIG_UPROBES: perf has no uprobe events.");
    Fd program = LoadTiny({.type = BPF_PROG_TYPE_KPROBE});
    if (!program)
        return Sentence(Refused("loading a uprobe program", errno));
    char path[4096] = {};
    uint64_t offset = readlink("/proc/self/exe", path, sizeof(path) - 1) > 0 ? EntryOffset(path) : 0;
    if (!offset)
        return "The executable of this process cannot be read, so no uprobe could be tried.";
    Fd event = OpenProbe(pmu, path, offset, 0, -1);
    if (!event)
        return Sentence(Refused("a uprobe on this process's own executable", errno));
    return RunEvent(event, program);
}

// A helper is there when a program that calls it loads.
static std::string TryHelper(Program program, int helper, const char *words) {
    program.helper = helper;
    Fd fd = LoadTiny(program);
    if (fd)
        return "";
    int error = errno;
    program.helper = 0;
    if (!LoadTiny(program))
        return Sentence(Refused("loading a program of this type", errno));
    return std::string(words) + " (" + ErrorCode(error) + ").";
}

static std::string TryTracingFuncIp() {
    int id = libbpf_find_vmlinux_btf_id(probed_function, BPF_TRACE_FENTRY);
    if (id < 0)
        return "The kernel's BTF has no function vfs_read to attach to.";
    return TryHelper({.type = BPF_PROG_TYPE_TRACING, .attach_type = BPF_TRACE_FENTRY, .btf_id = id}, helper_get_func_ip,
                     "This kernel has no bpf_get_func_ip for tracing programs, which came with 5.17");
}

static std::string TryStats() {
    Fd stats(bpf_enable_stats(BPF_STATS_RUN_TIME));
    return stats ? "" : "BPF run-time statistics, which came with 5.8, cannot be enabled (" + ErrorCode(errno) + ").";
}

static std::string TryBatchMaps() {
    Fd map(bpf_map_create(BPF_MAP_TYPE_HASH, "hotspan_probe", 4, 4, 1, nullptr));
    if (!map)
        return Sentence(Refused("creating a hash map", errno));
    uint32_t place = 0, key = 0, value = 0, count = 1;
    int error = bpf_map_lookup_batch(map.get(), nullptr, &place, &key, &value, &count, nullptr);
    // ENOENT: the map is empty, and the kernel has looked.
    return !error || error == -ENOENT
               ? ""
               : "This kernel reads maps one entry at a time; batches came with 5.6 (" + ErrorCode(-error) + ").";
}

std::vector<Feature> ProbeFeatures() {
    LibbpfLog log; // keeps libbpf's words about refused programs off the terminal
    return {
        {"btf", TryBtf()},
        {"kprobe", TryKprobe()},
        {"fentry", TryFentry()},
        {"tracepoint", TryTracepoint()},
        {"rawTracepoint", TryRawTracepoint()},
        {"btfTracepoint", TryBtfTracepoint()},
        {"perfCpuClock", TrySampling(false)},
        {"hardwareCycles", TrySampling(true)},
        {"uprobe", TryUprobe()},
        {"bpfCookie", TryHelper({.type = BPF_PROG_TYPE_PERF_EVENT}, helper_get_attach_cookie,
                                "This kernel has no bpf_get_attach_cookie, which came with 5.15")},
        {"kprobeFuncIp", TryHelper({.type = BPF_PROG_TYPE_KPROBE}, helper_get_func_ip,
                                   "This kernel has no bpf_get_func_ip for kprobes, which came with 5.15")},
        {"tracingFuncIp", TryTracingFuncIp()},
        {"bpfStats", TryStats()},
        {"batchMaps", TryBatchMaps()},
    };
}

} // namespace hotspan
