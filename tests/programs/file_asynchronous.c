/* io_submit and the aio of POSIX: requests of threads on several nodes are done. */
#include <aio.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>

#include "behaviour.h"

static int file;

static void by_kernel(char *bytes)
{
    aio_context_t context = 0;
    struct iocb request = {.aio_fildes = (unsigned)file,
                           .aio_lio_opcode = IOCB_CMD_PREAD,
                           .aio_buf = (unsigned long)bytes,
                           .aio_nbytes = 100,
                           .aio_offset = 50,
                           .aio_data = 7};
    struct iocb *list[1] = {&request};
    struct io_event event;
    CHECK(syscall(SYS_io_setup, 8, &context) == 0 && syscall(SYS_io_submit, context, 1, list) == 1);
    CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1 && event.res == 100 && event.data == 7);
    CHECK(syscall(SYS_io_destroy, context) == 0 && bytes[0] == 50 && bytes[99] == (char)149);
}

static void *run(void *unused)
{
    char bytes[100] = "";
    struct aiocb request = {.aio_fildes = file, .aio_buf = bytes, .aio_nbytes = 100, .aio_offset = 20};
    const struct aiocb *list[1] = {&request};
    by_kernel(bytes);
    CHECK(aio_read(&request) == 0);
    while (aio_error(&request) == EINPROGRESS)
        CHECK(aio_suspend(list, 1, NULL) == 0);
    CHECK(aio_return(&request) == 100 && bytes[0] == 20 && bytes[99] == 119);
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    file = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(file >= 0 && write(file, bytes, 256) == 256);
    run(NULL);
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    puts("done");
    return 0;
}
