/* splice, tee, sendfile and copy_file_range move what threads on other nodes have written. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "behaviour.h"

#define SIZE 50000

static char bytes[SIZE], copy[SIZE];

static void *fill(void *unused)
{
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7);
    return unused;
}

static void *run(void *unused)
{
    int file = open(".", O_TMPFILE | O_RDWR, 0600), other = open(".", O_TMPFILE | O_RDWR, 0600), pipes[2][2],
        sockets[2];
    CHECK(write(file, bytes, SIZE) == SIZE && lseek(file, 0, SEEK_SET) == 0);
    CHECK(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    CHECK(splice(file, NULL, pipes[0][1], NULL, SIZE, 0) == SIZE && tee(pipes[0][0], pipes[1][1], SIZE, 0) == SIZE);
    CHECK(splice(pipes[0][0], NULL, other, NULL, SIZE, 0) == SIZE && pread(other, copy, SIZE, 0) == SIZE &&
          memcmp(bytes, copy, SIZE) == 0);
    memset(copy, 0, SIZE);
    CHECK(read(pipes[1][0], copy, SIZE) == SIZE && memcmp(bytes, copy, SIZE) == 0);
    off_t offset = 10;
    CHECK(sendfile(sockets[0], file, &offset, 1000) == 1000 && offset == 1010);
    CHECK(recv(sockets[1], copy, 1000, MSG_WAITALL) == 1000 && memcmp(bytes + 10, copy, 1000) == 0);
    loff_t in = 5, out = 100000;
    CHECK(copy_file_range(file, &in, other, &out, 2000, 0) == 2000 && in == 2005 && out == 102000);
    CHECK(pread(other, copy, 2000, 100000) == 2000 && memcmp(bytes + 5, copy, 2000) == 0);
    CHECK(splice(file, NULL, other, NULL, 10, 0) == -1 && errno == EINVAL);
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, fill, NULL));
    CHECK0(pthread_join(thread, NULL));
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("moved");
    return 0;
}
