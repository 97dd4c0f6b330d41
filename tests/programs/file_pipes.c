/* Pipes: full, non-blocking, of another size, closed at one end, named; data of threads on several
 * nodes in one piece. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "behaviour.h"

static int ends[2];

static void *write_all(void *argument)
{
    char record[512];
    memset(record, (int)('a' + (long)argument), sizeof record);
    for (int i = 0; i < 200; i++)
        CHECK(write(ends[1], record, sizeof record) == sizeof record);
    return NULL;
}

static void *open_name(void *unused)
{
    int fd = open("fifo", O_WRONLY); /* waits for a reader */
    CHECK(fd >= 0 && write(fd, "named", 5) == 5 && close(fd) == 0);
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    char record[512], text[8] = "";
    int counts[3] = {0};
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 8192) == 8192);
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, write_all, (void *)i));
    for (int i = 0; i < 600; i++) {
        CHECK(read(ends[0], record, sizeof record) == sizeof record);
        for (size_t j = 1; j < sizeof record; j++)
            CHECK(record[j] == record[0]);
        counts[record[0] - 'a']++;
    }
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    int full = 0;
    while (write(ends[1], record, sizeof record) == sizeof record)
        full++;
    CHECK(errno == EAGAIN);
    printf("%d %d %d, %d fit\n", counts[0], counts[1], counts[2], full);
    CHECK(mkfifo("fifo", 0600) == 0);
    CHECK0(pthread_create(&threads[0], NULL, open_name, NULL));
    int fd = open("fifo", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text) == 5 && read(fd, text, 1) == 0 && strncmp(text, "named", 5) == 0);
    CHECK0(pthread_join(threads[0], NULL));
    return 0;
}
