/* process_vm_writev of a child, again and again, into memory that a thread waits for: no write is lost, also when the
 * child loses its processor halfway. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "behaviour.h"

#define ROUNDS 200

static struct {
    _Atomic int number;
    char rest[4092];
} memory __attribute__((aligned(4096)));

static int answers[2];

static void *run(void *unused)
{
    for (int seen = 0; seen < ROUNDS; seen++) {
        while (memory.number == seen)
            __asm__ volatile("pause");
        CHECK(memory.number == seen + 1);
        CHECK(write(answers[1], "x", 1) == 1);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK(pipe(answers) == 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (int i = 1; i <= ROUNDS; i++) {
            char byte;
            struct iovec local = {&i, sizeof i}, remote = {&memory, sizeof i};
            CHECK(process_vm_writev(parent, &local, 1, &remote, 1, 0) == sizeof i);
            CHECK(read(answers[0], &byte, 1) == 1);
        }
        _exit(0);
    }
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK0(pthread_join(thread, NULL));
    puts("all seen");
    return 0;
}
