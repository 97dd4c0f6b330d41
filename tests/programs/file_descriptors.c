/* Descriptors: duplicated, closed in ranges, at the limit; what a thread on another node closes is
 * closed. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "behaviour.h"

static void *run(void *argument)
{
    int fd = *(int *)argument;
    CHECK(close(fd) == 0 && close(fd) == -1 && errno == EBADF);
    int again = open("/dev/null", O_RDONLY);
    CHECK(again == fd && dup(again) == fd + 1 && fcntl(again, F_DUPFD, 30) == 30 &&
          fcntl(again, F_DUPFD_CLOEXEC, 30) == 31);
    CHECK(close_range(30, 31, 0) == 0 && fcntl(30, F_GETFD) == -1 && fcntl(31, F_GETFD) == -1);
    CHECK(close_range(fd, ~0u, CLOSE_RANGE_CLOEXEC) == 0 && fcntl(fd + 1, F_GETFD) == FD_CLOEXEC);
    CHECK(close_range(fd, ~0u, 0) == 0 && fcntl(fd, F_GETFD) == -1 && close_range(5, 3, 0) == -1 && errno == EINVAL);
    CHECK(dup2(1, 1) == 1 && dup3(1, 1, 0) == -1 && errno == EINVAL && dup2(99, 40) == -1 && errno == EBADF);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    struct rlimit limit = {40, 40};
    struct stat status;
    int fd = open("/dev/zero", O_RDONLY);
    CHECK0(pthread_create(&thread, NULL, run, &fd));
    CHECK0(pthread_join(thread, NULL));
    CHECK(fcntl(fd, F_GETFD) == -1 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int opened = 0;
    while (open("/dev/null", O_RDONLY) >= 0)
        opened++;
    CHECK(errno == EMFILE);
    printf("%d from %d\n", opened, fd);
    for (int i = 0; i < 40; i++)
        close(i + 3);
    for (int i = 3; i < 70000; i++) /* nothing that the program has not opened */
        CHECK(fcntl(i, F_GETFD) == -1 && fstat(i, &status) == -1 && lseek(i, 0, SEEK_CUR) == -1 && errno == EBADF);
    return 0;
}
