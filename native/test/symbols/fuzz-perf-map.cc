// libFuzzer target: a perf-map that grows, is cut and begun anew, and the names in it.
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#include "symbols/perf-map.h"

using namespace hotspan::symbols;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sizeBytes) {
    static int fd = memfd_create("map", MFD_CLOEXEC);
    if (sizeBytes < 4 || ftruncate(fd, 0) != 0) {
        return 0;
    }
    PerfMap map(PerfMap::Limits{4096, 16, 200});
    std::string_view text(reinterpret_cast<const char *>(data + 4), sizeBytes - 4);
    size_t cuts[] = {data[0], data[1] * size_t{8}, sizeBytes};
    size_t at = 0;
    for (size_t cut : cuts) {
        cut = std::min(cut, text.size());
        if (cut > at && pwrite(fd, text.data() + at, cut - at, static_cast<off_t>(at)) >= 0) {
            at = cut;
        }
        map.update(fd);
        map.find(uint64_t{data[2]} << 8 | data[3]);
    }
    if (map.size() > 16 || map.bytes() > 65536) {
        abort();
    }
    if (ftruncate(fd, data[0]) == 0) {
        map.update(fd);
    }
    parseJitName(text);
    return 0;
}
