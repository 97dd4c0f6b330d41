/*
 * Questions: what home's monitor asks the monitor of another node, or its own where only the loop may look.
 * Not for what is asked: the payload is the monitor's on both sides.
 */
#include <errno.h>
#include <string.h>

#include "runtime/pager_private.h"

/* By the loop: what this node answers. */
static size_t question_answer(struct pager *pager, uint32_t what, void *answer, size_t room)
{
    if (pager->configuration.callbacks->question == NULL)
        return 0;
    return pager->configuration.callbacks->question(what, answer, room);
}

int pager_question_asked(struct pager *pager, const void *payload, size_t bytes)
{
    static uint8_t answer[WIRE_FRAME_BYTES_MAX];
    struct wire_question question;
    if (bytes != sizeof question)
        return -EPROTO;
    memcpy(&question, payload, sizeof question);
    size_t length = question_answer(pager, question.what, answer, sizeof answer - sizeof question);
    pager_send(pager, HOME_NODE, WIRE_ANSWER, &question, sizeof question, answer, length);
    return 0;
}

void pager_question_start(struct pager *pager, struct pager_job *job)
{
    struct wire_question question = {.number = ++pager->question_number, .what = job->what};
    if (job->node == pager->configuration.node) {
        job->answer_bytes = (ssize_t)question_answer(pager, job->what, job->answer, job->answer_room);
        pager_job_finish(job);
        return;
    }
    if (pager->nodes[job->node].channel == NULL || pager->nodes[job->node].error != 0) {
        pager_job_finish(job);
        return;
    }
    job->number = question.number;
    job->next = pager->questions;
    pager->questions = job;
    pager_send(pager, job->node, WIRE_QUESTION, &question, sizeof question, NULL, 0);
}

static void question_end(struct pager_job **link)
{
    struct pager_job *job = *link;
    *link = job->next;
    pager_job_finish(job);
}

int pager_question_answered(struct pager *pager, unsigned from, const void *payload, size_t bytes)
{
    struct wire_question question;
    if (bytes < sizeof question)
        return -EPROTO;
    memcpy(&question, payload, sizeof question);
    bytes -= sizeof question;
    for (struct pager_job **link = &pager->questions; *link != NULL; link = &(*link)->next) {
        struct pager_job *job = *link;
        if (job->node != from || job->number != question.number)
            continue;
        job->answer_bytes = (ssize_t)(bytes < job->answer_room ? bytes : job->answer_room);
        if (job->answer_bytes > 0)
            memcpy(job->answer, (const uint8_t *)payload + sizeof question, (size_t)job->answer_bytes);
        question_end(link);
        break;
    }
    return 0; /* one that came too late is nobody's */
}

void pager_question_node_lost(struct pager *pager, unsigned node)
{
    for (struct pager_job **link = &pager->questions; *link != NULL;) {
        if ((*link)->node == node)
            question_end(link);
        else
            link = &(*link)->next;
    }
}

uint64_t pager_question_expire(struct pager *pager, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    for (struct pager_job **link = &pager->questions; *link != NULL;) {
        if ((*link)->deadline_ns <= now_ns) {
            question_end(link);
            continue;
        }
        if ((*link)->deadline_ns < next_ns)
            next_ns = (*link)->deadline_ns;
        link = &(*link)->next;
    }
    return next_ns;
}
