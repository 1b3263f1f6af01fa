/* SPDX-License-Identifier: Apache-2.0 */
/* Calls a function as often as it is told to: what the tests' uprobes count. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) int probed_work(int number) {
    __asm__ volatile("" : "+r"(number));
    return number + 1;
}

int main(int argc, char **argv) {
    int calls = argc > 1 ? atoi(argv[1]) : 0;
    int sum = 0;

    for (int i = 0; i < calls; i++)
        sum += probed_work(i) - i;
    printf("%d\n", sum);
    return 0;
}
