/* The kernel writes into memory that another thread has written last: read, readv, getrandom,
 * fstat, clock, sockets. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "behaviour.h"

#define BYTES (64 * 1024)

static char *buffer;

static void *scribble(void *argument)
{
    memset(buffer, (int)(long)argument, BYTES);
    return NULL;
}

static void by_thread(long value)
{
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, scribble, (void *)value));
    CHECK0(pthread_join(thread, NULL));
}

int main(void)
{
    int ends[2], pair[2];
    buffer = aligned_alloc(4096, BYTES);
    CHECK(buffer != NULL && pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    char *source = malloc(BYTES);
    for (int i = 0; i < BYTES; i++)
        source[i] = (char)(i * 13);
    for (long round = 1; round <= 5; round++) {
        by_thread(round);
        CHECK(write(ends[1], source, BYTES / 2) == BYTES / 2);
        CHECK(read(ends[0], buffer + 1000, BYTES / 2) == BYTES / 2);
        CHECK(memcmp(buffer + 1000, source, BYTES / 2) == 0 && buffer[999] == round);
        by_thread(round);
        struct iovec parts[2] = {{buffer + 4000, 200}, {buffer + 20000, 300}};
        CHECK(send(pair[0], source, 500, 0) == 500 && readv(pair[1], parts, 2) == 500);
        CHECK(memcmp(buffer + 4000, source, 200) == 0 && memcmp(buffer + 20000, source + 200, 300) == 0);
        CHECK(buffer[4200] == round && buffer[3999] == round);
        by_thread(round);
        struct stat *status = (struct stat *)(buffer + 4096 - 64);
        CHECK(fstat(ends[0], status) == 0 && S_ISFIFO(status->st_mode));
        struct timespec *time = (struct timespec *)(buffer + 8192);
        CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, time) == 0 && time->tv_nsec < 1000000000);
        CHECK(getrandom(buffer + 12288, 16, 0) == 16);
    }
    puts("written");
    return 0;
}
