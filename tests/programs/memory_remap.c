/* mremap grows and moves a mapping with its contents, shrinks it, and moves it over another. */
#include <sys/mman.h>

#include "behaviour.h"

#define PAGE 4096ul

int main(void)
{
    size_t pages = 4;
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < pages; i++)
        memory[i * PAGE] = (char)(i + 1);
    while (pages < 1024) {
        memory = mremap(memory, pages * PAGE, pages * 2 * PAGE, MREMAP_MAYMOVE);
        CHECK(memory != MAP_FAILED);
        for (size_t i = 0; i < pages; i++)
            CHECK(memory[i * PAGE] == (char)(i + 1));
        for (size_t i = pages; i < 2 * pages; i++) {
            CHECK(memory[i * PAGE] == 0);
            memory[i * PAGE] = (char)(i + 1);
        }
        pages *= 2;
    }
    CHECK(mremap(memory, pages * PAGE, 2 * PAGE, 0) == memory);
    char *there = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(there != MAP_FAILED);
    there[0] = 99;
    CHECK(mremap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, there) == there);
    CHECK(there[0] == 1 && there[PAGE] == 2);
    CHECK(mremap((void *)(there + 1), PAGE, 2 * PAGE, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mincore(memory, PAGE, (unsigned char[1]){0}) == -1 && errno == ENOMEM);
    printf("%zu pages\n", pages);
    return 0;
}
