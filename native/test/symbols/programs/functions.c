/* Prints "name address" of functions of its own, a line "ready", and waits for its standard input to end. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

NOINLINE int exported_function(int x) {
    return x * 3 + 1;
}

NOINLINE static int hidden_function(int x) {
    return exported_function(x) ^ 0x55;
}

/* In a section of its own, so that the linker puts it far from the others. */
__attribute__((noinline, section(".text.far"))) static int far_function(int x) {
    return hidden_function(x) + 7;
}

static void print(const char *name, const void *address) {
    printf("%s %p\n", name, address);
}

int main(int argc, char **argv) {
    print("exported_function", (const void *)exported_function);
    print("hidden_function", (const void *)hidden_function);
    print("far_function", (const void *)far_function);
    print("main", (const void *)main);
    if (argc > 1) {
        void *library = dlopen(argv[1], RTLD_NOW);
        const void *address = library ? dlsym(library, "library_function") : NULL;
        if (!address) {
            fprintf(stderr, "cannot load %s: %s\n", argv[1], dlerror());
            return 1;
        }
        print("library_function", address);
    }
    puts("ready");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    return far_function(argc) == 0;
}
