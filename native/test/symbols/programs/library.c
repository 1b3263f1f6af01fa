/* A shared library with one function that it exports and one that it does not. */
__attribute__((noinline)) static int library_helper(int x) {
    return x * x + 11;
}

int library_function(int x) {
    return library_helper(x) - 3;
}
