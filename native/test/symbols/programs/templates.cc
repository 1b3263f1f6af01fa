// Prints "address name" for C++ functions of all sorts, then waits for its standard input to end.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <unistd.h>

namespace shop {

template <typename Key, typename Value> struct Shelf {
    std::map<Key, Value> items;
    [[gnu::noinline]] Value &at(const Key &key) { return items[key]; }
    [[gnu::noinline]] bool operator<(const Shelf &other) const { return items.size() < other.items.size(); }
};

namespace {
[[gnu::noinline]] int hidden(int x) {
    return x + 1;
}
} // namespace

[[gnu::noinline]] int overloaded(int x) {
    return hidden(x);
}
[[gnu::noinline]] int overloaded(const char *text) {
    return hidden(static_cast<int>(strlen(text)));
}

} // namespace shop

template <typename Member> static void *addressOf(Member member) {
    void *address;
    memcpy(&address, &member, sizeof address);
    return address;
}

int main() {
    using Shelf = shop::Shelf<std::string, long>;
    printf("%p shop::Shelf<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, long>::at(",
           addressOf(&Shelf::at));
    puts("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&)");
    printf("%p shop::Shelf<int, int>::operator<(shop::Shelf<int, int> const&) const\n",
           addressOf(&shop::Shelf<int, int>::operator<));
    printf("%p shop::(anonymous namespace)::hidden(int)\n", addressOf(&shop::hidden));
    printf("%p shop::overloaded(int)\n", addressOf(static_cast<int (*)(int)>(shop::overloaded)));
    printf("%p shop::overloaded(char const*)\n", addressOf(static_cast<int (*)(const char *)>(shop::overloaded)));
    puts("ready");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}
