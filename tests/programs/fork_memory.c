/* A forked child has its parent's memory as it was: data, heap, stack, mappings; neither sees what
 * the other writes. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static int data = 5;

int main(void)
{
    int local = 6, *heap = malloc(1 << 20);
    int *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(heap != NULL && mapped != MAP_FAILED);
    for (int i = 0; i < (1 << 18); i++)
        heap[i] = mapped[i] = i;
    for (int round = 0; round < 4; round++) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        pid_t parent = getpid(), child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            char byte;
            CHECK(getppid() == parent && getpid() != parent);
            CHECK(read(ends[0], &byte, 1) == 1); /* the parent has written by now */
            CHECK(data == 5 + round && local == 6 + round);
            for (int i = 0; i < (1 << 18); i++)
                CHECK(heap[i] == i + round && mapped[i] == i + round);
            data = local = heap[0] = mapped[0] = -1;
            _exit(round);
        }
        data++;
        local++;
        for (int i = 0; i < (1 << 18); i++)
            heap[i] = mapped[i] = i + round + 1;
        CHECK(write(ends[1], "x", 1) == 1);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == round);
        CHECK(data == 6 + round && local == 7 + round && heap[0] == round + 1 && mapped[0] == round + 1);
        close(ends[0]);
        close(ends[1]);
    }
    puts("apart");
    return 0;
}
