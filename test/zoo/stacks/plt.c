/*
 * Calls a shared library through the procedure linkage table, bound at the first call.
 *
 * plt [LIBRARY]: without an argument it calls the library that it is linked with, in a loop; with one it also opens and
 * closes that file all the time, so that every few calls go through the dynamic linker's resolver, and code comes and
 * goes at run time.
 */
#include "stacks.h"
#include <dlfcn.h>

STACKS_SINK;

unsigned long plt_run(unsigned long a);

KEEP static void call_linked(unsigned long a) {
    for (int turn = 0; turn < 1000; turn++)
        stacks_sink += plt_run(a);
}

KEEP static int call_opened(const char *library, unsigned long a) {
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    if (!handle)
        return 0;
    unsigned long (*run)(unsigned long) = (unsigned long (*)(unsigned long))dlsym(handle, "plt_run");
    for (int turn = 0; turn < 50; turn++)
        stacks_sink += run(a);
    dlclose(handle);
    return 1;
}

int main(int argc, char **argv) {
    stacks_begin();
    for (unsigned long turn = 0;; turn++) {
        if (argc < 2)
            call_linked(turn);
        else if (!call_opened(argv[1], turn)) {
            fprintf(stderr, "plt: cannot open %s: %s\n", argv[1], dlerror());
            return 1;
        }
    }
}
