/*
 * A filter stays with the program that is executed next, and judges its calls by the same addresses.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "behaviour.h"

#define FORBIDDEN 0x210000000ul

static int ends[2];

static void filter_install(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)FORBIDDEN, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(FORBIDDEN >> 32), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *run(void *unused)
{
    char *memory =
        mmap((void *)FORBIDDEN, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(memory == (char *)FORBIDDEN);
    memset(memory, 'x', 4096);
    for (int i = 0; i < 3; i++) {
        CHECK(write(ends[1], memory + 8, 8) == 8);
        CHECK(write(ends[1], memory, 8) == -1 && errno == ENOTTY);
    }
    munmap(memory, 4096);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    if (argc == 1)
        filter_install();
    for (int i = 0; i < 2; i++) {
        CHECK0(pthread_create(&thread, NULL, run, NULL));
        CHECK0(pthread_join(thread, NULL));
    }
    if (argc == 1) {
        puts("the filter judges");
        fflush(stdout);
        execl("/proc/self/exe", argv[0], "again", NULL);
        CHECK(0);
    }
    puts("and it does so in the next program");
    return 0;
}
