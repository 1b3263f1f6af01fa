// Attaches programs; see attach.h. Every attachment lives in file descriptors alone, so nothing is left when the
// process dies.
#include "attach.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
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
    return LinkPerfEvent(program, Fd(event), state);
}

static int AttachKprobe(bpf_program *program, const AttachSpec &spec, LinkState &state, std::string &detail) {
    // Without this file libbpf would try the older way of writing to tracefs, which is not needed from 4.17 on.
    if (access("/sys/bus/event_source/devices/kprobe/type", F_OK) != 0) {
        detail = "this kernel was built without CONFIG_KPROBES";
        return -EOPNOTSUPP;
    }
    bpf_kprobe_opts options{};
    options.sz = sizeof(options);
    options.retprobe = spec.is_return;
    int error = Keep(bpf_program__attach_kprobe_opts(program, spec.symbol.c_str(), &options), state);
    if (error == -ENOENT || error == -EADDRNOTAVAIL || error == -EINVAL)
        detail = "the kernel cannot probe " + spec.symbol +
                 ": no such function, or inlined, or on its list of functions not to probe";
    return error;
}

static int AttachUprobe(bpf_program *program, const AttachSpec &spec, LinkState &state) {
    bpf_uprobe_opts options{};
    options.sz = sizeof(options);
    options.retprobe = spec.is_return;
    return Keep(bpf_program__attach_uprobe_opts(program, spec.pid, spec.path.c_str(), spec.offset, &options), state);
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
        return AttachUprobe(program, spec, state);
    case AttachSpec::Type::tracepoint:
        return AttachTracepoint(program, spec.category, spec.name, state, detail);
    case AttachSpec::Type::perf:
        return AttachPerf(program, spec, state, detail);
    }
    return -EINVAL;
}

} // namespace hotspan
