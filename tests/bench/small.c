/*
 * The cost of a small read or write, in nanoseconds, the median: 64 B through a pipe, by a thread that ld-span places
 * on a peer. Natively it is the kernel's call alone, so the reference is an exchange over TCP. Usage: small read|write
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "median.h"

enum { BYTES = 64, CALLS = 5000, LEAST = 300, WARM = 50 };

#define TIME_NS 3000000000u /* no more calls after it, where they take that long */

static int ends[2], writes_measured;

/* One read or write of BYTES: how long it took. */
static uint64_t call_measure(int writes, char *buffer)
{
    uint64_t start = now_ns();
    ssize_t done = writes ? write(ends[1], buffer, BYTES) : read(ends[0], buffer, BYTES);
    uint64_t time = now_ns() - start;
    check(done == BYTES, writes ? "write" : "read");
    return time;
}

static void *calls_measure(void *argument)
{
    (void)argument;
    static uint64_t times[CALLS];
    char out[BYTES], in[BYTES];
    uint64_t end = now_ns() + TIME_NS;
    int call = -WARM;
    for (; call < CALLS && (call < LEAST || now_ns() < end); call++) {
        memset(out, call, sizeof out);
        uint64_t write_time = call_measure(1, out), read_time = call_measure(0, in);
        if (memcmp(in, out, sizeof in) != 0) {
            fprintf(stderr, "small: what was read is not what was written\n");
            exit(1);
        }
        if (call >= 0)
            times[call] = writes_measured ? write_time : read_time;
    }
    printf("%.1f\n", (double)median(times, (size_t)call));
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2 || (strcmp(argv[1], "read") != 0 && strcmp(argv[1], "write") != 0)) {
        fprintf(stderr, "usage: small read|write\n");
        return 2;
    }
    writes_measured = strcmp(argv[1], "write") == 0;
    check(pipe(ends) == 0, "pipe");
    pthread_t thread;
    check(pthread_create(&thread, NULL, calls_measure, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
