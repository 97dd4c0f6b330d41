/* A seccomp filter of the program's own: refused calls fail in threads on any node and in what is
 * executed. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *unused)
{
    CHECK(mkdirat(-1, "/x", 0700) == -1 && errno == ENOANO);
    CHECK(getppid() > 0);
    return unused;
}

int main(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdirat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOANO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    pthread_t thread;
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    pid_t child = fork();
    if (child == 0) {
        run(NULL);
        execl("/bin/true", "true", NULL);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("filtered");
    return 0;
}
