/* A handler changes registers in its ucontext, and the program goes on with them: the instruction
 * is skipped. */
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "behaviour.h"

static void handler(int signal, siginfo_t *info, void *argument)
{
    ucontext_t *context = argument;
    greg_t *registers = context->uc_mcontext.gregs;
    (void)signal;
    CHECK(registers[REG_RBX] == 0x1234 && (registers[REG_RIP] & 1) == ((greg_t)info->si_addr & 1));
    registers[REG_RAX] = 42;
    registers[REG_RIP] += 2; /* ud2 */
    registers[REG_EFL] |= 1; /* carry */
    context->uc_mcontext.fpregs->_xmm[3].element[0] = 77;
}

static void *run(void *unused)
{
    for (int i = 0; i < 10; i++) {
        long result = 1;
        unsigned char carry;
        int vector;
        __asm__ volatile("mov $5, %%ecx\n\tmovd %%ecx, %%xmm3\n\tmov $0x1234, "
                         "%%ebx\n\tclc\n\tud2\n\tsetc %1\n\tmovd %%xmm3, %2"
                         : "+a"(result), "=r"(carry), "=r"(vector)
                         :
                         : "rbx", "rcx", "xmm3", "cc");
        CHECK(result == 42 && carry == 1 && vector == 77);
    }
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    CHECK(sigaction(SIGILL, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    run(NULL);
    puts("skipped");
    return 0;
}
