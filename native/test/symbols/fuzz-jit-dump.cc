// libFuzzer target: a jitdump that grows.
#include <cstdlib>

#include "symbols/jit-dump.h"

using namespace hotspan::symbols;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sizeBytes) {
    if (sizeBytes < 4) {
        return 0;
    }
    JitDump::Limits limits;
    limits.records = 50;
    limits.lines = 100;
    limits.fileNameBytes = 1000;
    JitDump dump(limits, PerfMap::Limits{4096, 16, 200});
    dump.setV8((data[0] & 1) != 0);
    const uint8_t *bytes = data + 4;
    sizeBytes -= 4;
    for (size_t size : {std::min<size_t>(data[1] * size_t{4}, sizeBytes), sizeBytes, sizeBytes / 2, sizeBytes}) {
        dump.update(ByteSource::ofMemory(bytes, size));
        for (uint64_t address : {uint64_t{data[2]} << 8 | data[3], uint64_t{data[3]} << 4}) {
            dump.find(address);
        }
    }
    if (dump.size() > 16 || dump.lineCount() > 100 || dump.bytes() > (1U << 20)) {
        abort();
    }
    return 0;
}
