/* Descriptors and credentials sent through a socket, between threads on several nodes and to a
 * child. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "behaviour.h"

static int ends[2];

union control {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr header;
};

static void pass(int descriptor)
{
    char byte = 'd';
    union control control = {{0}};
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    CHECK(sendmsg(ends[0], &message, 0) == 1);
}

static void *take(void *sender)
{
    char byte, text[16] = "";
    union control control;
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int descriptor = -1, sent_by = -1;
    CHECK(recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) == 1 && byte == 'd');
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_type == SCM_RIGHTS)
            memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
        else if (header->cmsg_type == SCM_CREDENTIALS)
            sent_by = ((struct ucred *)(void *)CMSG_DATA(header))->pid;
    }
    CHECK(descriptor >= 0 && fcntl(descriptor, F_GETFD) == FD_CLOEXEC && sent_by == (int)(long)sender);
    CHECK(pread(descriptor, text, 5, 0) == 5 && strcmp(text, "hello") == 0 && close(descriptor) == 0);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    int on = 1, status, file = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(file >= 0 && write(file, "hello", 5) == 5 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    CHECK0(pthread_create(&thread, NULL, take, (void *)(long)getpid()));
    pass(file);
    CHECK0(pthread_join(thread, NULL));
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        take((void *)(long)parent);
        _exit(0);
    }
    pass(file);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("passed");
    return 0;
}
