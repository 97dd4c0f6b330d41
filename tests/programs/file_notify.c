/* inotify: a thread on one node is told what threads on others do in a directory. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "behaviour.h"

static void *change(void *unused)
{
    CHECK(mkdir("watched/inner", 0700) == 0);
    int file = open("watched/file", O_CREAT | O_WRONLY, 0600);
    CHECK(file >= 0 && write(file, "x", 1) == 1 && close(file) == 0);
    CHECK(rename("watched/file", "watched/other") == 0 && unlink("watched/other") == 0 && rmdir("watched/inner") == 0);
    CHECK(rmdir("watched") == 0);
    return unused;
}

int main(void)
{
    pthread_t thread;
    char buffer[4096] __attribute__((aligned(8)));
    unsigned last = 0;
    CHECK(mkdir("watched", 0700) == 0);
    int descriptor = inotify_init1(IN_CLOEXEC);
    CHECK(descriptor >= 0 && inotify_add_watch(descriptor, "watched",
                                               IN_CREATE | IN_CLOSE_WRITE | IN_MOVE | IN_DELETE | IN_DELETE_SELF) > 0);
    CHECK0(pthread_create(&thread, NULL, change, NULL));
    while (!(last & IN_IGNORED)) {
        ssize_t got = read(descriptor, buffer, sizeof buffer);
        CHECK(got > 0);
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            printf("%#x %s\n", event->mask, event->len ? event->name : "");
            last = event->mask;
            at += sizeof *event + event->len;
        }
    }
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
