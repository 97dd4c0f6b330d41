/* readv, writev, preadv2, recvmmsg, sendmmsg: parts on pages that different nodes have written. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "behaviour.h"

static char parts[4][4096];

static void *fill(void *argument)
{
    memset(parts[(long)argument], (int)('a' + (long)argument), 4096);
    return NULL;
}

static void *run(void *unused)
{
    struct iovec vector[4], other[4];
    static char back[4][4096];
    int ends[2], file = open(".", O_TMPFILE | O_RDWR, 0600);
    for (int i = 0; i < 4; i++) {
        vector[i] = (struct iovec){parts[i], 4096};
        other[i] = (struct iovec){back[i], 4096};
    }
    CHECK(writev(file, vector, 4) == 16384 && preadv2(file, other, 4, 0, 0) == 16384 &&
          memcmp(parts, back, 16384) == 0);
    CHECK(pwritev(file, vector, 4, 100) == 16384 && preadv(file, other, 4, 100) == 16384 &&
          memcmp(parts, back, 16384) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = vector, .msg_iovlen = 2}},
                                  {.msg_hdr = {.msg_iov = vector + 2, .msg_iovlen = 2}}};
    CHECK(sendmmsg(ends[0], messages, 2, 0) == 2 && messages[1].msg_len == 8192);
    memset(back, 0, sizeof back);
    struct mmsghdr taken[2] = {{.msg_hdr = {.msg_iov = other, .msg_iovlen = 2}},
                               {.msg_hdr = {.msg_iov = other + 2, .msg_iovlen = 2}}};
    CHECK(recvmmsg(ends[1], taken, 2, 0, NULL) == 2 && taken[0].msg_len == 8192 && memcmp(parts, back, 16384) == 0);
    vector[1].iov_base = (void *)nowhere();
    CHECK(writev(file, vector + 1, 1) == -1 && errno == EFAULT && writev(file, vector, 4) == 4096);
    CHECK(syscall(SYS_writev, file, vector, 5000) == -1 && errno == EINVAL);
    return unused;
}

int main(void)
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, fill, (void *)i));
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK0(pthread_create(&threads[0], NULL, run, NULL));
    CHECK0(pthread_join(threads[0], NULL));
    puts("in parts");
    return 0;
}
