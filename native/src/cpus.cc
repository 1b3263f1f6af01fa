// Reads the kernel's list of online CPUs, "0-3,5"; see cpus.h.
#include "cpus.h"

#include <cstdio>

namespace hotspan {

std::vector<int> OnlineCpus() {
    std::vector<int> cpus;
    FILE *file = fopen("/sys/devices/system/cpu/online", "re");
    if (!file)
        return cpus;
    int first = 0;
    while (fscanf(file, "%d", &first) == 1) {
        int last = first;
        int separator = fgetc(file);
        if (separator == '-') {
            if (fscanf(file, "%d", &last) != 1)
                break;
            separator = fgetc(file);
        }
        for (int cpu = first; cpu <= last; cpu++)
            cpus.push_back(cpu);
        if (separator != ',')
            break;
    }
    fclose(file);
    return cpus;
}

} // namespace hotspan
