/* Sizes, holes, reservations and positions of files; several nodes read one file at their own
 * places and at a common one. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "behaviour.h"

static int file;
static _Atomic long sum;

static void *run(void *unused)
{
    unsigned char byte;
    for (int i = 0; i < 64; i++) {
        CHECK(read(file, &byte, 1) == 1);
        sum += byte;
    }
    return unused;
}

int main(void)
{
    pthread_t threads[4];
    unsigned char bytes[256];
    struct stat status;
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    file = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(file >= 0 && write(file, bytes, 256) == 256 && lseek(file, 0, SEEK_SET) == 0);
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%ld at %ld\n", sum, (long)lseek(file, 0, SEEK_CUR)); /* each byte once */
    CHECK(pwrite(file, "end", 3, 10 << 20) == 3 && fstat(file, &status) == 0 && status.st_size == (10 << 20) + 3 &&
          status.st_blocks < 1000);
    CHECK(lseek(file, 0, SEEK_DATA) == 0 && lseek(file, (10 << 20) + 3, SEEK_DATA) == -1 && errno == ENXIO);
    CHECK(fallocate(file, 0, 0, 20 << 20) == 0 && ftruncate(file, 100) == 0 && pread(file, bytes, 256, 0) == 100);
    CHECK(lseek(file, -1, SEEK_SET) == -1 && errno == EINVAL && fsync(file) == 0 && fdatasync(file) == 0);
    CHECK(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0 && sync_file_range(file, 0, 100, 0) == 0);
    return 0;
}
