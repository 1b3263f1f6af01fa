/* Makes children by vfork, which return on their parent's stack and end at once; libc keeps the return address in a
 * register. */
#include "stacks.h"
#include <sys/wait.h>
#include <unistd.h>

STACKS_SINK;

KEEP static pid_t make_child(void) {
    pid_t child = vfork();
    if (child == 0)
        _exit(0);
    AFTER_CALL();
    return child;
}

KEEP static void live_once(void) {
    pid_t child = make_child();
    int status = 0;
    if (child > 0)
        waitpid(child, &status, 0);
    stacks_burn(1000000);
    stacks_sink += (unsigned long)status;
}

int main(void) {
    stacks_begin();
    for (;;)
        live_once();
}
