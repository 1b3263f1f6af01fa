/* The shared library that plt.c calls: small functions that call each other through the library's own procedure linkage
 * table. */
unsigned long plt_one(unsigned long a);
unsigned long plt_two(unsigned long a);
unsigned long plt_three(unsigned long a);
unsigned long plt_four(unsigned long a);
unsigned long plt_run(unsigned long a);

unsigned long plt_one(unsigned long a) {
    return a + 1;
}

unsigned long plt_two(unsigned long a) {
    return plt_one(a) + plt_one(a + 2) + 1;
}

unsigned long plt_three(unsigned long a) {
    return plt_two(a) ^ plt_one(a + 3);
}

unsigned long plt_four(unsigned long a) {
    return plt_three(a) - plt_two(a) + plt_one(a);
}

unsigned long plt_run(unsigned long a) {
    return plt_four(a) + plt_three(a) + plt_two(a) + 1;
}
