/*
 * Binding the patcher to the program's memory. Text is written through /proc/self/mem, which makes the private copy of
 * the page without a moment in which the program could see other protections.
 */
#include "monitor/patching.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "monitor/active.h"
#include "monitor/fdguard.h"
#include "monitor/process.h"
#include "monitor/session.h"
#include "monitor/space.h"
#include "monitor/thread.h"
#include "runtime/descriptor.h"
#include "runtime/pager.h"
#include "syscall/patch.h"
#include "syscall/site.h"

#define SYSCALL_BYTES   2
#define DESCRIPTORS_FEW 256
#define WRITE_TRIES     100
#define WRITE_PAUSE_US  50

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int memory_fd = -1;
static pid_t memory_pid;

static bool mapping(uint64_t address, uint64_t *start, uint64_t *end, uint64_t *object_start, uint64_t *object_end)
{
    struct space_mapping found;
    if (!space_lookup(address, &found) || !(found.protection & PROT_EXEC))
        return false;
    *start = found.start;
    *end = found.end;
    *object_start = found.object;
    *object_end = found.object ? found.end : 0;
    return true;
}

static size_t memory_read(uint64_t address, void *bytes, size_t size)
{
    return size - user_copy(bytes, (const void *)address, size);
}

/* The kernel does not wait for a page that is protected or elsewhere but refuses to write: then it is asked for. */
static ssize_t memory_put(uint64_t address, const void *bytes, size_t size)
{
    ssize_t written = pwrite(memory_fd, bytes, size, (off_t)address);
    for (unsigned tries = 0; written < 0 && errno == EIO && tries < WRITE_TRIES && session_distributed(); tries++) {
        pager_make_writable(address);
        pager_make_writable(address + size - 1);
        usleep(WRITE_PAUSE_US);
        written = pwrite(memory_fd, bytes, size, (off_t)address);
    }
    return written;
}

static int memory_write(uint64_t address, const void *bytes, size_t size)
{
    pthread_mutex_lock(&lock);
    if (memory_fd < 0 || memory_pid != getpid()) {
        memory_fd = fdguard_move(open("/proc/thread-self/mem", O_RDWR | O_CLOEXEC));
        memory_pid = getpid();
    }
    ssize_t written = memory_fd < 0 ? -1 : memory_put(address, bytes, size);
    if (memory_fd >= 0 && memory_fd < DESCRIPTORS_FEW) { /* the program has left itself not many */
        descriptor_close(memory_fd);
        memory_fd = -1;
    }
    pthread_mutex_unlock(&lock);
    if (written != (ssize_t)size)
        return -EIO;
    space_text_changed(address & ~(uint64_t)(PAGE_BYTES - 1),
                       (address + size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1));
    return 0;
}

static uint64_t stub_page(uint64_t start, uint64_t end)
{
    long place = space_map_near(PAGE_BYTES, PROT_READ | PROT_EXEC, start, end);
    return place < 0 ? 0 : (uint64_t)place;
}

static bool concurrent(void)
{
    return thread_count() > 1 || thread_self()->foreign;
}

void patching_initialise(void)
{
    static const struct patch_operations operations = {
        .mapping = mapping,
        .read = memory_read,
        .write = memory_write,
        .stub_page = stub_page,
        .concurrent = concurrent,
    };
    if (session_configuration()->patch)
        patch_initialise(&operations, THREAD_ENTRY);
}

bool patching_wanted(void)
{
    return session_configuration()->patch && !active_is_peer();
}

void patching_site(uint64_t site)
{
    enum patch_result result = patch_site(site);
    if (result == PATCH_DOUBTFUL)
        site_refuse(site);
    else if (result == PATCH_AGAIN)
        site_again(site);
}

void patching_forwarded(uint64_t after)
{
    uint64_t site = after - SYSCALL_BYTES;
    if (after < SPAN_ZONE_END && patching_wanted() && !patch_translate(after) && site_hit(site))
        patching_site(site);
}
