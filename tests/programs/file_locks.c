/* flock, POSIX and open-file-description locks between processes and threads on several nodes; a
 * waiter gets its turn. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic int order;

static int lock(int file, int command, short type)
{
    struct flock request = {.l_type = type, .l_whence = SEEK_SET, .l_len = 10};
    return fcntl(file, command, &request);
}

static void *wait_for(void *unused)
{
    int own = open("lock", O_RDWR);
    CHECK(flock(own, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(lock(own, F_OFD_SETLK, F_WRLCK) == -1 && errno == EAGAIN);
    order = 1;
    CHECK(flock(own, LOCK_EX) == 0 && order == 2);
    CHECK(lock(own, F_OFD_SETLKW, F_WRLCK) == 0);
    close(own);
    return unused;
}

int main(void)
{
    pthread_t thread;
    int status, file = open("lock", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && flock(file, LOCK_EX) == 0 && lock(file, F_OFD_SETLK, F_WRLCK) == 0);
    CHECK0(pthread_create(&thread, NULL, wait_for, NULL));
    while (order == 0)
        usleep(1000);
    usleep(20000);
    order = 2;
    CHECK(flock(file, LOCK_UN) == 0);
    usleep(5000);
    CHECK(lock(file, F_OFD_SETLK, F_UNLCK) == 0);
    CHECK0(pthread_join(thread, NULL));
    CHECK(lock(file, F_SETLK, F_WRLCK) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock request = {.l_type = F_WRLCK, .l_len = 10};
        CHECK(fcntl(file, F_GETLK, &request) == 0 && request.l_type == F_WRLCK && request.l_pid == getppid());
        CHECK(lock(file, F_SETLK, F_RDLCK) == -1 && (errno == EAGAIN || errno == EACCES));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("locked");
    return 0;
}
