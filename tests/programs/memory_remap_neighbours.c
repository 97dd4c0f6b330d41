/* Mappings that the kernel joins because they are neighbours are one to mremap, in whatever way it moves, grows or cuts
 * them. */
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include "behaviour.h"

enum { PAGE = 4096, HALF = 4, ALL = 2 * HALF, ROOM = 64 };

static void *starts(void *unused)
{
    return unused; /* so that peers are in use */
}

/* Two neighbours at the start of free memory, a number in each page. */
static char *make(void)
{
    char *room = mmap(NULL, ROOM * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(room != MAP_FAILED && munmap(room, ROOM * PAGE) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(mmap(room + i * HALF * PAGE, HALF * PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (i ? MAP_POPULATE : 0), -1, 0) != MAP_FAILED);
    for (int i = 0; i < ALL; i++)
        room[i * PAGE] = (char)(i + 1);
    return room;
}

static void show(const char *what, const char *from, const char *to, int pages)
{
    if (to == MAP_FAILED) {
        printf("%s: errno %d\n", what, errno);
        return;
    }
    int right = 0;
    for (int i = 0; i < pages; i++)
        right += to[i * PAGE] == i + 1;
    printf("%s: %s, %d of %d pages\n", what, from == to ? "stays" : "moves", right, pages);
}

int main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, starts, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED, keep = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    char *target = mmap(NULL, ROOM * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;
    at = make();
    show("grow in place", at, mremap(at, ALL * PAGE, 20 * PAGE, 0), ALL);
    at = make();
    CHECK(mmap(at + ALL * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    show("grow in place where there is no room", at, mremap(at, ALL * PAGE, 20 * PAGE, 0), ALL);
    show("grow elsewhere", at, mremap(at, ALL * PAGE, 100 * PAGE, MREMAP_MAYMOVE), ALL);
    at = make();
    show("grow to a place", at, mremap(at, ALL * PAGE, 12 * PAGE, fixed, target), ALL);
    at = make();
    show("move to a place", at, mremap(at, ALL * PAGE, ALL * PAGE, fixed, target), ALL);
    at = make();
    show("shrink to a place", at, mremap(at, ALL * PAGE, 6 * PAGE, fixed, target), 6);
    at = make();
    show("grow from the middle to a place", at, mremap(at + PAGE, 6 * PAGE, 12 * PAGE, fixed, target) - PAGE, 0);
    at = make();
    show("keep, to a place", at, mremap(at, ALL * PAGE, ALL * PAGE, keep | MREMAP_FIXED, target), ALL);
    at = make();
    show("keep, to anywhere", at, (char *)syscall(SYS_mremap, at, ALL * PAGE, ALL * PAGE, keep, 0), ALL);
    at = make();
    show("shrink", at, mremap(at, ALL * PAGE, 6 * PAGE, 0), 6);
    show("shrink to the first", at, mremap(at, 6 * PAGE, 2 * PAGE, 0), 2);
    at = make();
    show("the same", at, mremap(at, ALL * PAGE, ALL * PAGE, 0), ALL);
    return 0;
}
