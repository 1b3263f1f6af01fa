// Attaches programs; see attach.h. Every attachment lives in file descriptors alone, so nothing is left when the
// process dies.
#include "attach.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "cpus.h"
#include "fd.h"
#include "link.h"
#include "tracefs.h"

namespace hotspan {

static int PerfEventOpen(perf_event_attr *attributes, int pid, int cpu) {
    long fd = syscall(SYS_perf_event_open, attributes, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : static_cast<int>(fd);
}

int OpenSamplingEvent(bool is_hardware, unsigned frequency_hz, int pid, int cpu) {
    perf_event_attr attributes{};
    attributes.size = sizeof(attributes);
    attributes.type = is_hardware ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE;
    attributes.config =
        is_hardware ? static_cast<__u64>(PERF_COUNT_HW_CPU_CYCLES) : static_cast<__u64>(PERF_COUNT_SW_CPU_CLOCK);
    attributes.freq = 1;
    attributes.sample_freq = frequency_hz;
    attributes.exclude_idle = 1;
    // Threads that a sampled thread starts are sampled as well.
    attributes.inherit = pid >= 0;
    return PerfEventOpen(&attributes, pid, cpu);
}

int OpenTracepointEvent(const std::string &category, const std::string &name) {
    int id = TracepointId(category, name);
    if (id < 0)
        return id;
    perf_event_attr attributes{};
    attributes.size = sizeof(attributes);
    attributes.type = PERF_TYPE_TRACEPOINT;
    attributes.config = static_cast<__u64>(id);
    attributes.sample_period = 1;
    // The program is run for the tracepoint on every CPU; the CPU given here only holds the event.
    std::vector<int> cpus = OnlineCpus();
    return PerfEventOpen(&attributes, -1, cpus.empty() ? 0 : cpus.front());
}

// Takes the descriptor: the link closes it when it is destroyed.
static int LinkPerfEvent(bpf_program *program, Fd event, LinkState &state) {
    bpf_link *link = bpf_program__attach_perf_event(program, event.get());
    if (!link)
        return -errno;
    event.Release();
    state.links.push_back(link);
    return 0;
}

// The same for an event on a tracepoint or probe, whose close is left for later. Without perf links (before 5.15) the
// program stays with its event until that is closed, so there the close cannot wait.
static int LinkSlowEvent(bpf_program *program, Fd event, LinkState &state) {
    int event_fd = event.get();
    Fd second(fcntl(event_fd, F_DUPFD_CLOEXEC, 0));
    if (int error = LinkPerfEvent(program, std::move(event), state))
        return error;
    if (second && bpf_link__fd(state.links.back()) != event_fd)
        state.slow_events.push_back(std::move(second));
    return 0;
}

static int Keep(bpf_link *link, LinkState &state) {
    if (!link)
        return -errno;
    state.links.push_back(link);
    return 0;
}

static int AttachTracepoint(bpf_program *program, const std::string &category, const std::string &name,
                            LinkState &state, std::string &detail) {
    int event = OpenTracepointEvent(category, name);
    if (event == -ENOENT)
        detail = "this kernel has no tracepoint " + category + ":" + name;
    if (event < 0)
        return event;
    return LinkSlowEvent(program, Fd(event), state);
}

// Number of a dynamic PMU, "kprobe" or "uprobe"; negative errno where the kernel has none.
static int PmuType(const char *pmu) {
    std::string path = std::string("/sys/bus/event_source/devices/") + pmu + "/type";
    FILE *file = fopen(path.c_str(), "re");
    if (!file)
        return -errno;
    int type = -1;
    int fields = fscanf(file, "%d", &type);
    fclose(file);
    return fields == 1 ? type : -EINVAL;
}

// An event on a function: `name` is the kernel function or the path of the program, `offset` the place in its file.
static int OpenProbeEvent(int pmu, bool is_return, const char *name, __u64 offset, int pid) {
    perf_event_attr attributes{};
    attributes.size = sizeof(attributes);
    attributes.type = static_cast<__u32>(pmu);
    // Bit 0 of config is "retprobe", as the PMU's format folder in sysfs says, on every kernel so far.
    attributes.config = is_return ? 1 : 0;
    attributes.config1 = reinterpret_cast<__u64>(name);
    attributes.config2 = offset;
    return PerfEventOpen(&attributes, pid < 0 ? -1 : pid, pid < 0 ? OnlineCpus().front() : -1);
}

static int AttachKprobe(bpf_program *program, const AttachSpec &spec, LinkState &state, std::string &detail) {
    int pmu = PmuType("kprobe");
    if (pmu < 0) {
        detail = "this kernel was built without CONFIG_KPROBES";
        return -EOPNOTSUPP;
    }
    int event = OpenProbeEvent(pmu, spec.is_return, spec.symbol.c_str(), 0, -1);
    if (event == -ENOENT || event == -EADDRNOTAVAIL || event == -EINVAL)
        detail = "the kernel cannot probe " + spec.symbol +
                 ": no such function, or inlined, or on its list of functions not to probe";
    if (event < 0)
        return event;
    return LinkSlowEvent(program, Fd(event), state);
}

static int AttachUprobe(bpf_program *program, const AttachSpec &spec, LinkState &state, std::string &detail) {
    int pmu = PmuType("uprobe");
    if (pmu < 0) {
        detail = "this kernel was built without CONFIG_UPROBES";
        return -EOPNOTSUPP;
    }
    int event = OpenProbeEvent(pmu, spec.is_return, spec.path.c_str(), spec.offset, spec.pid);
    if (event < 0)
        return event;
    return LinkSlowEvent(program, Fd(event), state);
}

static std::set<int> ThreadsOf(int pid) {
    std::set<int> threads;
    std::string path = "/proc/" + std::to_string(pid) + "/task";
    DIR *directory = opendir(path.c_str());
    if (!directory)
        return threads;
    while (dirent *entry = readdir(directory)) {
        int thread = atoi(entry->d_name);
        if (thread > 0)
            threads.insert(thread);
    }
    closedir(directory);
    return threads;
}

// One event per thread there is; later threads inherit it from the one that starts them. The list is read until it
// brings no new thread, because one may start while it is being read.
static int AttachPerfToProcess(bpf_program *program, const AttachSpec &spec, LinkState &state) {
    std::set<int> attached;
    for (bool is_new = true; is_new;) {
        is_new = false;
        for (int thread : ThreadsOf(spec.pid)) {
            if (!attached.insert(thread).second)
                continue;
            is_new = true;
            int event = OpenSamplingEvent(spec.is_hardware, spec.frequency_hz, thread, -1);
            // ESRCH: the thread ended after it was listed.
            if (event == -ESRCH)
                continue;
            if (event < 0)
                return event;
            if (int error = LinkPerfEvent(program, Fd(event), state))
                return error;
        }
    }
    return state.links.empty() ? -ESRCH : 0;
}

// Each fault on each CPU, at the place where the kernel counts it: after it was served, with the registers that caused
// it.
static int AttachPageFaults(bpf_program *program, const AttachSpec &spec, LinkState &state) {
    for (int cpu : OnlineCpus()) {
        perf_event_attr attributes{};
        attributes.size = sizeof(attributes);
        attributes.type = PERF_TYPE_SOFTWARE;
        attributes.config = spec.is_major ? static_cast<__u64>(PERF_COUNT_SW_PAGE_FAULTS_MAJ)
                                          : static_cast<__u64>(PERF_COUNT_SW_PAGE_FAULTS_MIN);
        attributes.sample_period = 1;
        // Without it the kernel does not hand the address to the program.
        attributes.sample_type = PERF_SAMPLE_ADDR;
        int event = PerfEventOpen(&attributes, -1, cpu);
        // ENODEV: the CPU went offline after it was listed.
        if (event == -ENODEV)
            continue;
        if (event < 0)
            return event;
        if (int error = LinkPerfEvent(program, Fd(event), state))
            return error;
    }
    return 0;
}

static int AttachPerf(bpf_program *program, const AttachSpec &spec, LinkState &state, std::string &detail) {
    if (spec.pid >= 0)
        return AttachPerfToProcess(program, spec, state);
    for (int cpu : OnlineCpus()) {
        int event = OpenSamplingEvent(spec.is_hardware, spec.frequency_hz, -1, cpu);
        // ENODEV: the CPU went offline after it was listed.
        if (event == -ENODEV && !spec.is_hardware)
            continue;
        if (event == -ENOENT || event == -EOPNOTSUPP || event == -ENODEV)
            detail = "this machine has no hardware cycle counter that perf can use";
        if (event == -EINVAL)
            detail = "perf refuses " + std::to_string(spec.frequency_hz) +
                     " Hz; see /proc/sys/kernel/perf_event_max_sample_rate";
        if (event < 0)
            return event;
        if (int error = LinkPerfEvent(program, Fd(event), state))
            return error;
    }
    return state.links.empty() ? -ENODEV : 0;
}

// Sections whose libbpf way needs a mounted tracefs go our way.
static int AttachAuto(bpf_program *program, LinkState &state, std::string &detail) {
    std::string section = bpf_program__section_name(program);
    for (const char *prefix : {"tracepoint/", "tp/"}) {
        if (section.rfind(prefix, 0) != 0)
            continue;
        std::string target = section.substr(std::string(prefix).size());
        size_t slash = target.find('/');
        if (slash == std::string::npos)
            return -EINVAL;
        return AttachTracepoint(program, target.substr(0, slash), target.substr(slash + 1), state, detail);
    }
    return Keep(bpf_program__attach(program), state);
}

int Attach(bpf_program *program, const AttachSpec &spec, LinkState &state, std::string &detail) {
    switch (spec.type) {
    case AttachSpec::Type::automatic:
        return AttachAuto(program, state, detail);
    case AttachSpec::Type::kprobe:
        return AttachKprobe(program, spec, state, detail);
    case AttachSpec::Type::uprobe:
        return AttachUprobe(program, spec, state, detail);
    case AttachSpec::Type::tracepoint:
        return AttachTracepoint(program, spec.category, spec.name, state, detail);
    case AttachSpec::Type::page_faults:
        return AttachPageFaults(program, spec, state);
    case AttachSpec::Type::perf:
        return AttachPerf(program, spec, state, detail);
    }
    return -EINVAL;
}

} // namespace hotspan
