/* Message queues of both kinds and System V semaphores between threads on several nodes and a
 * child. */
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>

#include "behaviour.h"

static int queue, semaphores;
static unsigned left = 9;
static mqd_t named = (mqd_t)-1;

struct message {
    long type;
    int value;
};

static void *run(void *unused)
{
    for (int i = 0; i < 5; i++) {
        struct message message;
        struct sembuf take = {0, -1, 0}, give = {1, 1, 0};
        CHECK(msgrcv(queue, &message, sizeof message.value, -5, 0) == sizeof message.value && message.type == 1 + i);
        CHECK(semop(semaphores, &take, 1) == 0 && semop(semaphores, &give, 1) == 0);
        if (named != (mqd_t)-1) {
            char text[16];
            unsigned priority;
            CHECK(mq_receive(named, text, sizeof text, &priority) == 2 && priority == left);
            left--;
        }
        if (i == 4)
            CHECK(semop(semaphores, &(struct sembuf){2, 1, 0}, 1) == 0);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    char name[32];
    struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = 16};
    queue = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 3, 0600);
    snprintf(name, sizeof name, "/behaviour-%d", getpid());
    named = mq_open(name, O_CREAT | O_RDWR, 0600, &attributes);
    CHECK(queue >= 0 && semaphores >= 0);
    if (named != (mqd_t)-1) {
        CHECK(mq_unlink(name) == 0);
        for (unsigned i = 0; i < 10; i++)
            CHECK(mq_send(named, "hi", 2, i) == 0);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 5; i >= 1; i--) {
            struct message message = {i, i};
            CHECK(msgsnd(queue, &message, sizeof message.value, 0) == 0);
        }
        CHECK0(pthread_create(&thread, NULL, run, NULL));
        pid_t child = fork();
        if (child == 0)
            _exit(semop(semaphores, &(struct sembuf){0, 5, 0}, 1));
        CHECK(waitpid(child, NULL, 0) == child && semop(semaphores, &(struct sembuf){2, -1, 0}, 1) == 0);
        CHECK0(pthread_join(thread, NULL));
    }
    printf("%d\n", semctl(semaphores, 1, GETVAL));
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(semaphores, 0, IPC_RMID) == 0);
    return 0;
}
