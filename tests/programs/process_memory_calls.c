/* process_vm_readv and process_vm_writev between a program with threads on several nodes and its
 * child. */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile char memory[8 * 4096];
static _Atomic int written;

static void *run(void *unused)
{
    for (size_t i = 0; i < sizeof memory; i++)
        memory[i] = (char)('a' + i / 4096);
    written = 1;
    while (memory[0] != 'X')
        __asm__ volatile("pause");
    return unused;
}

int main(void)
{
    pthread_t thread;
    int ends[2];
    char byte;
    static char copy[sizeof memory];
    CHECK(pipe(ends) == 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        CHECK(read(ends[0], &byte, 1) == 1);
        struct iovec local = {copy, sizeof copy}, remote = {(void *)memory, sizeof memory};
        CHECK(process_vm_readv(parent, &local, 1, &remote, 1, 0) == (ssize_t)sizeof copy);
        for (int i = 0; i < 8; i++)
            CHECK(copy[i * 4096] == 'a' + i && copy[i * 4096 + 4095] == 'a' + i);
        local = (struct iovec){"X", 1};
        remote.iov_len = 1;
        CHECK(process_vm_writev(parent, &local, 1, &remote, 1, 0) == 1);
        _exit(0);
    }
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    while (!written)
        usleep(1000);
    CHECK(write(ends[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK0(pthread_join(thread, NULL));
    puts("copied");
    return 0;
}
