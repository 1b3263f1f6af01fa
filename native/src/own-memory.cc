// Reads this process's own mappings and gives back what is not used; see own-memory.h.
#include "own-memory.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <malloc.h>
#include <sys/mman.h>

namespace hotspan {

// One mapping of /proc/self/smaps (proc_pid_smaps(5)).
struct OwnMapping {
    uint64_t start = 0;
    uint64_t end = 0;
    bool is_file_read_only = false;
    uint64_t rss_kb = 0;
    uint64_t own_kb = 0;
};

// Its lines come in a fixed order: the head, Rss, Anonymous and Swap. The last two count pages that are no longer the
// file's: relocated data, and code that a uprobe was put into. Those would be lost, so a mapping with any stays.
static uint64_t ReleaseCode(FILE *smaps) {
    char line[4352];
    OwnMapping mapping;
    uint64_t released = 0, value = 0;
    while (fgets(line, sizeof line, smaps)) {
        OwnMapping head;
        char flags[5], path[8];
        int fields =
            sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %*u %7s", &head.start, &head.end, flags, path);
        if (fields >= 3) {
            head.is_file_read_only = fields == 4 && path[0] == '/' && flags[1] == '-' && flags[3] == 'p';
            mapping = head;
        } else if (sscanf(line, "Rss: %" SCNu64, &value) == 1) {
            mapping.rss_kb = value;
        } else if (sscanf(line, "Anonymous: %" SCNu64, &value) == 1) {
            mapping.own_kb = value;
        } else if (sscanf(line, "Swap: %" SCNu64, &value) == 1 && mapping.is_file_read_only &&
                   mapping.own_kb + value == 0) {
            void *address = reinterpret_cast<void *>(mapping.start);
            if (madvise(address, mapping.end - mapping.start, MADV_DONTNEED) == 0)
                released += mapping.rss_kb * 1024;
        }
    }
    return released;
}

Napi::Value ReleaseMemory(const Napi::CallbackInfo &info) {
    malloc_trim(0);
    uint64_t released = 0;
    if (FILE *smaps = fopen("/proc/self/smaps", "re")) {
        released = ReleaseCode(smaps);
        fclose(smaps);
    }
    return Napi::Number::New(info.Env(), static_cast<double>(released));
}

} // namespace hotspan
