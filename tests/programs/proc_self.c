/* /proc/self is the program's own: exe, cmdline, maps, status, task, fd, auxv, also read by a
 * thread on another node. */
/* args: one "two words" */
#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>

#include "behaviour.h"

static pthread_barrier_t barrier;

static size_t slurp(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    CHECK(file >= 0);
    for (ssize_t got; (got = read(file, text + used, size - 1 - used)) > 0; used += (size_t)got)
        ;
    text[used] = 0;
    close(file);
    return used;
}

static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    CHECK(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static void *run(void *unused)
{
    static char text[1 << 16];
    char link[512] = "", *base;
    CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0 && (base = strrchr(link, '/')));
    size_t length = slurp("/proc/self/cmdline", text, sizeof text);
    for (size_t i = 0; i < length; i++)
        text[i] = text[i] ? text[i] : '|';
    base = strrchr(text, '/');
    printf("%s, %s", strrchr(link, '/') + 1, base ? base + 1 : text);
    slurp("/proc/self/comm", text, sizeof text);
    printf(", %s", text);
    slurp("/proc/self/maps", text, sizeof text);
    CHECK(strstr(text, link) && strstr(text, "[stack]") && strstr(text, "[heap]") && strstr(text, "libc.so.6"));
    CHECK(!strstr(text, "ld-span"));
    slurp("/proc/self/status", text, sizeof text);
    printf("%d threads, %d tasks, %d descriptors, name %d\n", atoi(strstr(text, "Threads:") + 8),
           entries("/proc/self/task"), entries("/proc/self/fd") - 1, !strncmp(text, "Name:\tproc_self\n", 16));
    CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_PHDR) && strstr((char *)getauxval(AT_EXECFN), "proc_self"));
    pthread_barrier_wait(&barrier);
    return unused;
}

int main(void)
{
    pthread_t thread;
    free(malloc(10));
    CHECK0(pthread_barrier_init(&barrier, NULL, 2));
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    pthread_barrier_wait(&barrier);
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
