/* A library that is loaded while its program runs: calls back into it, from code that no table was made of before. */
unsigned long late_inner(unsigned long (*leaf)(unsigned long), unsigned long depth);

__attribute__((noinline)) unsigned long late_inner(unsigned long (*leaf)(unsigned long), unsigned long depth) {
    unsigned long kept[8] = {depth, depth + 1};
    unsigned long result = depth ? late_inner(leaf, depth - 1) : leaf(depth);

    return result ^ kept[result & 7];
}

__attribute__((noinline)) unsigned long late_work(unsigned long (*leaf)(unsigned long), unsigned long depth) {
    return late_inner(leaf, depth) + 1;
}
