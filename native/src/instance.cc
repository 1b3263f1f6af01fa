// Ends an environment's objects and links; see instance.h.
#include "instance.h"

namespace hotspan {

Instance::~Instance() {
    CloseAll();
}

void Instance::CloseAll() {}

} // namespace hotspan
