/*
 * Placement: which node a new thread gets, and how many threads each has.
 */
#include <pthread.h>
#include <string.h>

#include "monitor/clock.h"
#include "monitor/session_private.h"

#define AVOID_FIRST_NS 2000000000u

static pthread_mutex_t place_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned threads_on[NODES_MAX];
static uint64_t threads_placed[NODES_MAX];
static uint64_t avoid_until_ns[NODES_MAX], avoid_ns[NODES_MAX];

void session_place_prepare(void)
{
    pthread_mutex_init(&place_lock, NULL);
    memset(threads_on, 0, sizeof threads_on);
    memset(threads_placed, 0, sizeof threads_placed);
    threads_on[HOME_NODE] = threads_placed[HOME_NODE] = 1;
}

/* The node with the fewest threads for its processors; home among equals, for what it has needs no moving. */
static unsigned place_spread(uint64_t allowed)
{
    unsigned best = (unsigned)__builtin_ctzll(allowed);
    uint64_t now_ns = clock_now_ns();
    for (unsigned node = best + 1; node < session_node_count(); node++)
        if ((allowed >> node & 1) && now_ns >= avoid_until_ns[node] &&
            (uint64_t)threads_on[node] * session_node_cpus(best) < (uint64_t)threads_on[best] * session_node_cpus(node))
            best = node;
    return best;
}

static unsigned place_pack(uint64_t allowed)
{
    for (unsigned node = 0; node < session_node_count(); node++)
        if ((allowed >> node & 1) && threads_on[node] < session_node_cpus(node))
            return node;
    return place_spread(allowed);
}

unsigned session_place_thread(uint64_t allowed)
{
    unsigned node = HOME_NODE;
    enum session_place place = session_configuration()->place;
    allowed &= session_nodes_usable();
    pthread_mutex_lock(&place_lock);
    if (!session_shared() || allowed == 0)
        node = HOME_NODE;
    else if (place == SESSION_SPREAD)
        node = place_spread(allowed);
    else if (place == SESSION_PACK)
        node = place_pack(allowed);
    threads_on[node]++;
    threads_placed[node]++;
    pthread_mutex_unlock(&place_lock);
    if (node == HOME_NODE || session_use(node))
        return node;
    session_thread_moved(node, HOME_NODE);
    return HOME_NODE;
}

void session_avoid(unsigned node)
{
    pthread_mutex_lock(&place_lock);
    avoid_ns[node] = avoid_ns[node] ? avoid_ns[node] * 2 : AVOID_FIRST_NS;
    avoid_until_ns[node] = clock_now_ns() + avoid_ns[node];
    pthread_mutex_unlock(&place_lock);
}

void session_thread_ended(unsigned node)
{
    pthread_mutex_lock(&place_lock);
    if (threads_on[node])
        threads_on[node]--;
    pthread_mutex_unlock(&place_lock);
}

void session_thread_moved(unsigned from, unsigned to)
{
    pthread_mutex_lock(&place_lock);
    if (threads_on[from])
        threads_on[from]--;
    threads_on[to]++;
    if (to == HOME_NODE || from == HOME_NODE)
        threads_placed[to]++;
    pthread_mutex_unlock(&place_lock);
}

unsigned session_node_threads(unsigned node)
{
    return threads_on[node];
}

uint64_t session_node_placed(unsigned node)
{
    return threads_placed[node];
}
