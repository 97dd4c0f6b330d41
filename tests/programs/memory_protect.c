/* Memory made read-only faults at a write, in calls gives EFAULT, and works again when it is made
 * writable. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

static _Thread_local sigjmp_buf back;

static void handler(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static int write_faults(volatile char *at)
{
    if (sigsetjmp(back, 1) != 0)
        return 1;
    *at = 1;
    return 0;
}

static void *other(void *argument)
{
    return (void *)(long)write_faults(argument);
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    CHECK(page != MAP_FAILED && sigaction(SIGSEGV, &action, NULL) == 0 && pipe(ends) == 0);
    CHECK(write(ends[1], "some bytes", 10) == 10);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        void *result;
        CHECK(!write_faults(page + 4096));
        CHECK(mprotect(page + 4096, 4096, PROT_READ) == 0);
        CHECK(write_faults(page + 4096) && !write_faults(page) && !write_faults(page + 8192));
        CHECK(read(ends[0], page + 4096, 1) == -1 && errno == EFAULT);
        CHECK0(pthread_create(&thread, NULL, other, page + 4096));
        CHECK0(pthread_join(thread, &result));
        CHECK(result == (void *)1);
        CHECK(mprotect(page + 4096, 4096, PROT_READ | PROT_WRITE) == 0);
        CHECK0(pthread_create(&thread, NULL, other, page + 4096));
        CHECK0(pthread_join(thread, &result));
        CHECK(result == NULL);
    }
    CHECK(read(ends[0], page + 4096, 10) == 10 && memcmp(page + 4096, "some bytes", 10) == 0);
    puts("protected");
    return 0;
}
