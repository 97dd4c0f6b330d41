/*
 * Doubly linked lists of commands, which are in several at once. Not for anything that knows what a
 * command is.
 */
#include "coproc/engine_parts.h"

static struct link *link_of(struct coproc_command *command, size_t offset)
{
    return (struct link *)(void *)((char *)command + offset);
}

void list_append(struct list *list, struct coproc_command *command, size_t offset)
{
    struct link *link = link_of(command, offset);
    link->previous = list->last;
    link->next = NULL;
    if (list->last)
        link_of(list->last, offset)->next = command;
    else
        list->first = command;
    list->last = command;
}

void list_remove(struct list *list, struct coproc_command *command, size_t offset)
{
    struct link *link = link_of(command, offset);
    COPROC_ASSERT(link->previous || list->first == command);
    COPROC_ASSERT(link->next || list->last == command);
    if (link->previous)
        link_of(link->previous, offset)->next = link->next;
    else
        list->first = link->next;
    if (link->next)
        link_of(link->next, offset)->previous = link->previous;
    else
        list->last = link->previous;
    link->previous = link->next = NULL;
}
