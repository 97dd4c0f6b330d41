/*
 * A ring of 64 messages of 64 B each between a producer at home and a consumer on the second of two nodes, with a mutex
 * and two conditions: messages a second, over two seconds. The ring lies on two pages, what guards it on a third one.
 */
#include <pthread.h>
#include <string.h>

#include "place.h"

#define PAGE   4096u
#define SLOTS  64u
#define RUN_NS 2000000000u
#define LAST   UINT64_MAX

struct message {
    uint64_t number;
    char text[56];
};
_Static_assert(sizeof(struct message) == 64, "a message is 64 B");

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled, emptied;
    uint64_t put, taken;
} ring __attribute__((aligned(4096))) = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER,
                                         0, 0};
static struct {
    char front[PAGE / 2];
    struct message slots[SLOTS];
} area __attribute__((aligned(4096)));

static void message_put(const struct message *message)
{
    pthread_mutex_lock(&ring.mutex);
    while (ring.put - ring.taken == SLOTS)
        pthread_cond_wait(&ring.emptied, &ring.mutex);
    area.slots[ring.put++ % SLOTS] = *message;
    pthread_cond_signal(&ring.filled);
    pthread_mutex_unlock(&ring.mutex);
}

static void message_take(struct message *message)
{
    pthread_mutex_lock(&ring.mutex);
    while (ring.put == ring.taken)
        pthread_cond_wait(&ring.filled, &ring.mutex);
    *message = area.slots[ring.taken++ % SLOTS];
    pthread_cond_signal(&ring.emptied);
    pthread_mutex_unlock(&ring.mutex);
}

static void *consumer(void *argument)
{
    struct message message;
    uint64_t start = 0, count = 0;
    node_enter(1, 2);
    for (;; count++) {
        message_take(&message);
        if (message.number == LAST)
            break;
        if (message.number != count || message.text[55] != (char)count) {
            fprintf(stderr, "ring: message %lu is not what was sent\n", (unsigned long)count);
            exit(1);
        }
        if (count == 0)
            start = now_ns();
    }
    printf("%.1f\n", (double)count * 1e9 / (double)(now_ns() - start));
    return argument;
}

int main(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, consumer, NULL) == 0, "pthread_create");
    node_enter(0, 2);
    struct message message;
    uint64_t number = 0, start = now_ns();
    for (; now_ns() - start < RUN_NS; number++) {
        message.number = number;
        memset(message.text, (char)number, sizeof message.text);
        message_put(&message);
    }
    message.number = LAST;
    message_put(&message);
    pthread_join(thread, NULL);
    return 0;
}
