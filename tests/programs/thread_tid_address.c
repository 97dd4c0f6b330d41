/* The address that is cleared when a thread ends is the program's: told by prctl, set anew, the old
 * one left alone. */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "behaviour.h"

static volatile int word = 1;
static int *_Atomic usual;

static void *run(void *unused)
{
    int *address = NULL;
    CHECK(prctl(PR_GET_TID_ADDRESS, &address) == 0 && *address == gettid());
    CHECK(syscall(SYS_set_tid_address, address) == gettid());
    usual = address;
    return unused;
}

static void *run_other(void *unused)
{
    int *address = NULL;
    CHECK(prctl(PR_GET_TID_ADDRESS, &usual) == 0);
    CHECK(syscall(SYS_set_tid_address, &word) == gettid() && prctl(PR_GET_TID_ADDRESS, &address) == 0 &&
          address == &word);
    syscall(SYS_exit, 0);
    return unused;
}

int main(void)
{
    pthread_t thread;
    for (int i = 0; i < 20; i++) {
        CHECK0(pthread_create(&thread, NULL, run, NULL));
        CHECK0(pthread_join(thread, NULL));
    }
    CHECK0(pthread_create(&thread, NULL, run_other, NULL));
    while (word)
        syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0);
    CHECK(*usual != 0);
    puts("cleared");
    return 0;
}
