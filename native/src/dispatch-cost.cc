// Times what calling a program takes; see dispatch-cost.h.
#include "dispatch-cost.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>

#include "attach.h"
#include "fd.h"

namespace hotspan {

// Two system calls that do next to nothing and that few programs make often: one gets tracepoints, the other none.
static const char *const traced_name = "getppid";
static constexpr long traced_call = SYS_getppid;
static constexpr long other_call = SYS_getuid;

// The fastest of so many batches has no interrupt and no other thread in it.
static constexpr int batches = 60;
static constexpr int calls_per_batch = 200;

static int LoadNothing(bpf_prog_type type, const char *name) {
    bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    };
    int fd = bpf_prog_load(type, name, "GPL", code, sizeof(code) / sizeof(code[0]), nullptr);
    return fd < 0 ? -errno : fd;
}

static double FastestNs(long call) {
    double best = 1e9;
    for (int batch = 0; batch < batches; batch++) {
        timespec start{}, end{};
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (int i = 0; i < calls_per_batch; i++)
            syscall(call);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double taken =
            static_cast<double>(end.tv_sec - start.tv_sec) * 1e9 + static_cast<double>(end.tv_nsec - start.tv_nsec);
        best = std::min(best, taken / calls_per_batch);
    }
    return best;
}

// Invalid where the kernel does not give it.
static Fd OnTracepoint(const Fd &program, const std::string &name) {
    Fd event(OpenTracepointEvent("syscalls", name));
    if (!event || !program || ioctl(event.get(), PERF_EVENT_IOC_SET_BPF, program.get()) != 0)
        return Fd();
    return event;
}

// Both before tracepoints are in use: a second program at the same place makes the kernel call each by a pointer.
static double WithRawPrograms(long call) {
    Fd program(LoadNothing(BPF_PROG_TYPE_RAW_TRACEPOINT, "hotspan_cost"));
    Fd enter(program ? bpf_raw_tracepoint_open("sys_enter", program.get()) : -1);
    Fd leave(program ? bpf_raw_tracepoint_open("sys_exit", program.get()) : -1);
    return enter && leave ? FastestNs(call) : 0;
}

DispatchCost MeasureDispatch() {
    DispatchCost cost;
    double traced = FastestNs(traced_call), other = FastestNs(other_call);
    double raw = WithRawPrograms(other_call);
    Fd program(LoadNothing(BPF_PROG_TYPE_TRACEPOINT, "hotspan_cost"));
    Fd enter = OnTracepoint(program, std::string("sys_enter_") + traced_name);
    Fd leave = OnTracepoint(program, std::string("sys_exit_") + traced_name);
    if (enter && leave) {
        cost.call_ns = std::max(0.0, FastestNs(other_call) - other);
        cost.tracepoint_ns = std::max(0.0, (FastestNs(traced_call) - traced - cost.call_ns) / 2);
    }
    cost.raw_ns = std::max(0.0, (raw - other - cost.call_ns) / 2);
    return cost;
}

int LoadCallCounter() {
    return LoadNothing(BPF_PROG_TYPE_RAW_TRACEPOINT, "hotspan_calls");
}

} // namespace hotspan
