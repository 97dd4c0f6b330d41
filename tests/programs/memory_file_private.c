/* MAP_PRIVATE files: reads see the file, writes stay in the process, beyond the end there are zeros
 * and then SIGBUS. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile char *map;
static sigjmp_buf jump;

static void handler(int signal)
{
    siglongjmp(jump, signal);
}

static void *run(void *unused)
{
    CHECK(map[0] == 'x' && map[4999] == 'x' && map[5000] == 0 && map[8191] == 0);
    map[1] = 'y';
    int signal = sigsetjmp(jump, 1);
    if (signal == 0) {
        (void)map[8192];
        CHECK(0);
    }
    CHECK(signal == SIGBUS);
    return unused;
}

int main(void)
{
    static char bytes[5000];
    pthread_t thread;
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    memset(bytes, 'x', sizeof bytes);
    int file = open("private", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && write(file, bytes, sizeof bytes) == sizeof bytes);
    map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(map != MAP_FAILED && close(file) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(map[1] == 'y');
    pid_t child = fork();
    if (child == 0) {
        map[2] = 'z';
        _exit(map[1] == 'y' ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0 && map[2] == 'x');
    file = open("private", O_RDONLY);
    CHECK(read(file, bytes, 5) == 5 && memcmp(bytes, "xxxxx", 5) == 0);
    puts("private");
    return 0;
}
