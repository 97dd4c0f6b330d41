/* The threads of C11: thrd, mtx, cnd, tss and call_once. */
#include <threads.h>

#include "behaviour.h"

static mtx_t mutex;
static cnd_t condition;
static tss_t key;
static once_flag once = ONCE_FLAG_INIT;
static int onces, turn, destroyed;
static thread_local int own;

static void run_once(void)
{
    onces++;
}

static void destroy(void *unused)
{
    (void)unused;
    mtx_lock(&mutex);
    destroyed++;
    mtx_unlock(&mutex);
}

static int run(void *argument)
{
    int number = (int)(long)argument;
    call_once(&once, run_once);
    CHECK(tss_set(key, &own) == thrd_success);
    for (int i = 0; i < 30; i++) {
        CHECK(mtx_lock(&mutex) == thrd_success);
        while (turn % 3 != number)
            CHECK(cnd_wait(&condition, &mutex) == thrd_success);
        turn++;
        own++;
        CHECK(cnd_broadcast(&condition) == thrd_success && mtx_unlock(&mutex) == thrd_success);
    }
    return own + number;
}

int main(void)
{
    thrd_t threads[3];
    CHECK(mtx_init(&mutex, mtx_plain) == thrd_success && cnd_init(&condition) == thrd_success &&
          tss_create(&key, destroy) == thrd_success);
    for (long i = 0; i < 3; i++)
        CHECK(thrd_create(&threads[i], run, (void *)i) == thrd_success);
    for (int i = 0; i < 3; i++) {
        int result;
        CHECK(thrd_join(threads[i], &result) == thrd_success && result == 30 + i);
    }
    printf("%d %d %d %d\n", turn, onces, destroyed, own);
    return 0;
}
