/* The program's own userfaultfd: a thread fills pages that another one touches. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "behaviour.h"

#define PAGES 8

static int descriptor;
static char *area;

static void *fill(void *unused)
{
    static char page[4096] __attribute__((aligned(4096)));
    for (int i = 0; i < PAGES; i++) {
        struct uffd_msg message;
        CHECK(read(descriptor, &message, sizeof message) == sizeof message && message.event == UFFD_EVENT_PAGEFAULT);
        unsigned long address = message.arg.pagefault.address & ~4095ul;
        memset(page, (int)('a' + (address - (unsigned long)area) / 4096), sizeof page);
        struct uffdio_copy copy = {.dst = address, .src = (unsigned long)page, .len = 4096};
        CHECK(ioctl(descriptor, UFFDIO_COPY, &copy) == 0);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    descriptor = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (descriptor < 0)
        return 77;
    struct uffdio_api api = {.api = UFFD_API};
    CHECK(ioctl(descriptor, UFFDIO_API, &api) == 0);
    area = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(unsigned long)area, PAGES * 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK(area != MAP_FAILED && ioctl(descriptor, UFFDIO_REGISTER, &range) == 0);
    CHECK0(pthread_create(&thread, NULL, fill, NULL));
    for (int i = 0; i < PAGES; i++)
        putchar(area[i * 4096 + 17]);
    putchar('\n');
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
