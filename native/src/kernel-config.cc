// Reads the kernel's configuration; see kernel-config.h.
#include "kernel-config.h"

#include <sys/utsname.h>
#include <zlib.h>

namespace hotspan {

std::string KernelRelease() {
    utsname names{};
    return uname(&names) == 0 ? names.release : "";
}

char KernelOption(const std::string &option) {
    // zlib reads plain files as they are, so one loop does for both.
    for (const std::string &path : {std::string("/proc/config.gz"), "/boot/config-" + KernelRelease()}) {
        gzFile file = gzopen(path.c_str(), "re");
        if (!file)
            continue;
        char line[512];
        char value = 'n';
        while (gzgets(file, line, sizeof(line))) {
            std::string text = line;
            if (text.rfind(option + "=", 0) == 0 && text.size() > option.size() + 1)
                value = text[option.size() + 1];
        }
        gzclose(file);
        return value;
    }
    return 0;
}

} // namespace hotspan
