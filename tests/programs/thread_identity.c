/* getpid, gettid, tgkill and pthread_equal are right on every node; a thread that has ended is not
 * found. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static _Atomic int identities[3];
static pid_t process;

static void *run(void *argument)
{
    for (int i = 0; i < OFTEN; i++)
        CHECK(getpid() == process && (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == process &&
              gettid() == (pid_t)raw_call(SYS_gettid, 0, 0, 0, 0, 0, 0));
    CHECK(gettid() != process && getppid() == (pid_t)syscall(SYS_getppid));
    identities[(long)argument] = gettid();
    CHECK(syscall(SYS_tgkill, process, gettid(), 0) == 0 && syscall(SYS_tkill, gettid(), 0) == 0);
    CHECK(syscall(SYS_tgkill, process + 1, gettid(), 0) == -1);
    return (void *)(long)gettid();
}

int main(void)
{
    pthread_t threads[3];
    process = getpid();
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 3; i++) {
        void *identity;
        CHECK0(pthread_join(threads[i], &identity));
        CHECK((long)identity == identities[i] && identity != (void *)(long)process);
        while (syscall(SYS_tgkill, process, identities[i], 0) == 0)
            usleep(100); /* joined a moment before it is gone */
        CHECK(errno == ESRCH);
    }
    CHECK(gettid() == process && identities[0] != identities[1] && identities[1] != identities[2]);
    puts("themselves");
    return 0;
}
