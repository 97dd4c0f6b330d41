/* O_DIRECT reads by the kernel's AIO into pages that other nodes look at meanwhile: what the device writes is what is
 * seen. In memory of all kinds: plain, locked, executable. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include "behaviour.h"

#define PAGES  16
#define SIZE   (PAGES * 4096)
#define ROUNDS 40

static char memory[SIZE] __attribute__((aligned(4096))), back[SIZE] __attribute__((aligned(4096)));
static _Atomic int filled, compared;

/* Looks at the pages until the next round is filled, and then at what is in them. */
static void *look(void *unused)
{
    for (int round = 1; round <= ROUNDS; round++) {
        while (filled != round)
            for (int i = 0; i < SIZE; i += 4096)
                (void)*(volatile char *)(back + i);
        CHECK(memcmp(back, memory, SIZE) == 0);
        compared = round;
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    aio_context_t context = 0;
    int file = open("direct", O_CREAT | O_RDWR | O_DIRECT, 0600);
    if (file < 0 && errno == EINVAL)
        return 77;
    for (int i = 0; i < SIZE; i++)
        memory[i] = (char)(i / 4096 + 1);
    CHECK(file >= 0 && pwrite(file, memory, SIZE, 0) == SIZE);
    CHECK(syscall(SYS_io_setup, PAGES, &context) == 0);
    CHECK0(pthread_create(&thread, NULL, look, NULL));
    for (int round = 1; round <= ROUNDS; round++) {
        if (round == ROUNDS / 4)
            CHECK(mlock(back, SIZE) == 0);
        if (round == ROUNDS / 2)
            CHECK(mprotect(back, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
        if (round == ROUNDS * 3 / 4)
            CHECK(munlock(back, SIZE) == 0);
        struct iocb requests[PAGES], *list[PAGES];
        struct io_event events[PAGES];
        memset(back, 0, SIZE);
        for (int i = 0; i < PAGES; i++) {
            requests[i] = (struct iocb){
                .aio_lio_opcode = IOCB_CMD_PREAD,
                .aio_fildes = (unsigned)file,
                .aio_buf = (uintptr_t)(back + i * 4096),
                .aio_nbytes = 4096,
                .aio_offset = i * 4096,
            };
            list[i] = &requests[i];
        }
        CHECK(syscall(SYS_io_submit, context, PAGES, list) == PAGES);
        CHECK(syscall(SYS_io_getevents, context, PAGES, PAGES, events, NULL) == PAGES);
        for (int i = 0; i < PAGES; i++)
            CHECK(events[i].res == 4096);
        CHECK(memcmp(back, memory, SIZE) == 0);
        filled = round;
        while (compared != round)
            usleep(100);
    }
    CHECK0(pthread_join(thread, NULL));
    puts("the same");
    return 0;
}
