// Ends an environment's objects and links; see instance.h.
#include "instance.h"

#include <bpf/btf.h>

#include "bpf-object.h"
#include "link.h"

namespace hotspan {

Instance::~Instance() {
    CloseAll();
    btf__free(vmlinux_btf);
}

void Instance::CloseAll() {
    DetachTogether({links.begin(), links.end()});
    links.clear();
    // Closing takes an object out of the set.
    while (!objects.empty())
        (*objects.begin())->CloseNow();
}

} // namespace hotspan
