/* eventfd, with and without EFD_SEMAPHORE, blocking readers and writers on several nodes. */
#include <pthread.h>
#include <sys/eventfd.h>

#include "behaviour.h"

static int plain, semaphore, full;
static _Atomic long taken;

static void *run(void *unused)
{
    for (int i = 0; i < 20; i++) {
        eventfd_t value;
        CHECK(eventfd_read(semaphore, &value) == 0 && value == 1);
        taken++;
        CHECK(eventfd_write(plain, 3) == 0);
    }
    return unused;
}

static void *unblock(void *unused)
{
    eventfd_t value;
    usleep(20000);
    CHECK(eventfd_read(full, &value) == 0 && value == 0xfffffffffffffffe);
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    eventfd_t value;
    plain = eventfd(0, 0);
    semaphore = eventfd(5, EFD_SEMAPHORE);
    full = eventfd(0, 0);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 55; i++)
        CHECK(eventfd_write(semaphore, 1) == 0);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(eventfd_read(plain, &value) == 0);
    printf("%ld %lu\n", taken, value);
    CHECK(eventfd_write(full, 0xfffffffffffffffe) == 0);
    CHECK0(pthread_create(&threads[0], NULL, unblock, NULL));
    CHECK(eventfd_write(full, 2) == 0); /* waits for the reader */
    CHECK0(pthread_join(threads[0], NULL));
    CHECK(eventfd_read(full, &value) == 0 && value == 2 && eventfd_write(full, (eventfd_t)-1) == -1 && errno == EINVAL);
    return 0;
}
