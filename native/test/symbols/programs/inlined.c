// A C program of small functions that are inlined into larger ones: a sorter, a hash table, a parser of sums.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char key[24];
    int value;
    struct entry *next;
};
static struct entry *table[64];

static inline uint32_t mix(uint32_t hash, uint8_t byte) {
    return (hash ^ byte) * 16777619u;
}

static inline uint32_t hash_of(const char *key) {
    uint32_t hash = 2166136261u;
    while (*key != 0) {
        hash = mix(hash, (uint8_t)*key++);
    }
    return hash;
}

static inline struct entry **slot_of(const char *key) {
    return &table[hash_of(key) % 64];
}

static struct entry *find(const char *key) {
    for (struct entry *at = *slot_of(key); at != NULL; at = at->next) {
        if (strcmp(at->key, key) == 0) {
            return at;
        }
    }
    return NULL;
}

__attribute__((noinline)) int put(const char *key, int value) {
    struct entry *at = find(key);
    if (at == NULL) {
        at = calloc(1, sizeof *at);
        if (at == NULL) {
            return -1;
        }
        snprintf(at->key, sizeof at->key, "%s", key);
        at->next = *slot_of(key);
        *slot_of(key) = at;
    }
    at->value += value;
    return at->value;
}

static inline void swap(int *a, int *b) {
    int kept = *a;
    *a = *b;
    *b = kept;
}

static inline int middle(const int *a, const int *b, const int *c) {
    if (*a < *b) {
        return *b < *c ? *b : *a < *c ? *c : *a;
    }
    return *a < *c ? *a : *b < *c ? *c : *b;
}

__attribute__((noinline)) void sort(int *numbers, int count) {
    while (count > 1) {
        int pivot = middle(&numbers[0], &numbers[count / 2], &numbers[count - 1]);
        int low = 0, high = count - 1;
        while (low <= high) {
            while (numbers[low] < pivot) {
                low++;
            }
            while (numbers[high] > pivot) {
                high--;
            }
            if (low <= high) {
                swap(&numbers[low++], &numbers[high--]);
            }
        }
        sort(numbers, high + 1);
        numbers += low;
        count -= low;
    }
}

static int sum(const char **text);

static inline int number(const char **text) {
    int value = 0;
    while (**text >= '0' && **text <= '9') {
        value = value * 10 + *(*text)++ - '0';
    }
    return value;
}

static inline int factor(const char **text) {
    if (**text != '(') {
        return number(text);
    }
    (*text)++;
    int value = sum(text);
    *text += **text == ')';
    return value;
}

static inline int product(const char **text) {
    int value = factor(text);
    while (**text == '*' || **text == '/') {
        char operation = *(*text)++;
        int other = factor(text);
        value = operation == '*' ? value * other : other != 0 ? value / other : 0;
    }
    return value;
}

static int sum(const char **text) {
    int value = product(text);
    while (**text == '+' || **text == '-') {
        char operation = *(*text)++;
        int other = product(text);
        value += operation == '+' ? other : -other;
    }
    return value;
}

int main(int argc, char **argv) {
    int numbers[256];
    for (int i = 0; i < 256; i++) {
        numbers[i] = (i * 7919 + argc) % 1000;
    }
    sort(numbers, 256);
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        printf("%d\n", put(argv[i], sum(&text)));
    }
    printf("%d\nready\n", numbers[0]);
    fflush(stdout);
    return getchar() == 'x';
}
