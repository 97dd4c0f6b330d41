/* SIGSEGV tells the address and whether it was unmapped or forbidden; a handler that repairs it
 * lets the access go on. */
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "behaviour.h"

static char *page;
static volatile int repairs, code;
static void *volatile address;

static void handler(int signal, siginfo_t *info, void *opaque)
{
    const ucontext_t *context = opaque;
    CHECK(signal == SIGSEGV);
    code = info->si_code;
    address = info->si_addr;
    repairs++;
    CHECK(context->uc_mcontext.gregs[REG_TRAPNO] == 14);
    if (code == SEGV_ACCERR)
        CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
    else
        CHECK(mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    page = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    page += 4096;
    for (int i = 0; i < 10; i++) {
        CHECK(mprotect(page, 4096, i % 2 ? PROT_READ : PROT_NONE) == 0);
        ((volatile char *)page)[100 + i] = (char)i;
        CHECK(repairs == 2 * i + 1 && code == SEGV_ACCERR && address == page + 100 + i);
        CHECK(munmap(page, 4096) == 0);
        CHECK(((volatile char *)page)[200 + i] == 0);
        CHECK(repairs == 2 * i + 2 && code == SEGV_MAPERR && address == page + 200 + i);
    }
    printf("%d\n", repairs);
    return 0;
}
