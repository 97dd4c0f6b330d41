/*
 * From the loader to the monitor: options become the session's configuration, the loaded program its first thread.
 */
#include "ld-span/start.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ld-span/options.h"
#include "monitor/calls.h"
#include "monitor/clock.h"
#include "monitor/context.h"
#include "monitor/control.h"
#include "monitor/damage.h"
#include "monitor/fatal.h"
#include "monitor/patching.h"
#include "monitor/process.h"
#include "monitor/self.h"
#include "monitor/session.h"
#include "monitor/space.h"
#include "monitor/view.h"

#define ARGUMENT_BYTES 16384

static void copy_string(char *to, size_t size, const char *from)
{
    if (from && snprintf(to, size, "%s", from) >= (int)size)
        span_fatal("option value too long: %.60s...", from);
}

/* A file for each of the processes that a program becomes: %p in its name is the process id, %% a %. */
static void copy_file_name(char *to, size_t size, const char *from)
{
    size_t used = 0;
    while (from && *from && used < size) {
        int step = 1;
        if (from[0] == '%' && from[1] == 'p')
            step = snprintf(to + used, size - used, "%d", (int)getpid());
        else
            to[used] = *from;
        from += from[0] == '%' && (from[1] == 'p' || from[1] == '%') ? 2 : 1;
        used += (size_t)step;
    }
    if (used >= size)
        span_fatal("the name of a file is too long: %.60s...", to);
    to[used] = '\0';
}

void monitor_prepare(const struct span_options *options)
{
    static struct session_configuration configuration;
    static char strings[ARGUMENT_BYTES];
    configuration.local = options->local;
    for (unsigned i = 0; i < options->node_count; i++)
        copy_string(configuration.peers[i], sizeof configuration.peers[i], options->node_addresses[i]);
    configuration.peer_count = options->node_count;
    configuration.place = options->place == PLACE_PACK   ? SESSION_PACK
                          : options->place == PLACE_HOME ? SESSION_HOME
                                                         : SESSION_SPREAD;
    configuration.compress = options->compress;
    configuration.no_ahead = options->no_ahead;
    configuration.pin = !options->no_pin;
    configuration.patch = !options->no_patch;
    configuration.follow = !options->no_follow;
    configuration.balance = !options->no_balance;
    configuration.best_effort = options->best_effort;
    configuration.executed = options->executed != NULL;
    configuration.filtered = options->filtered;
    configuration.insecure = options->insecure;
    configuration.verbose = options->verbose;
    configuration.statistics = options->stats;
    copy_file_name(configuration.statistics_file, sizeof configuration.statistics_file, options->stats_file);
    copy_file_name(configuration.trace_file, sizeof configuration.trace_file, options->trace);
    copy_string(configuration.key_file, sizeof configuration.key_file, options->key);
    configuration.timeout_ms = (int)options->timeout_ms;
    configuration.argument_count =
        options_serialize(options, strings, sizeof strings, configuration.arguments, SESSION_ARGUMENTS_MAX);
    if (configuration.argument_count == SIZE_MAX)
        span_fatal("the options are too long to be handed on to children");
    if (options->peers)
        session_peers_told(options->peers);
    session_prepare(&configuration);
}

uint64_t monitor_vdso(void)
{
    size_t bytes;
    const void *image = vdso_image(&bytes);
    size_t room = (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    long place = space_map_near(room, PROT_READ | PROT_WRITE, 0, 0);
    if (place < 0)
        return 0;
    memcpy((void *)place, image, bytes);
    space_mprotect((uint64_t)place, room, PROT_READ | PROT_EXEC);
    return (uint64_t)place;
}

_Noreturn void monitor_start(const struct program_start *start)
{
    struct thread *thread = thread_adopt();
    if (!thread)
        span_fatal("no memory for the first thread");
    const char *base = strrchr(start->path, '/');
    session_name_program(base ? base + 1 : start->path);
    view_exe_path(start->path);
    thread->tid = thread->pid = getpid();
    view_pid_is(thread->pid);
    thread->process = &process_first;
    call_set_home(thread);
    if (start->options->affinity)
        view_affinity_told(thread->tid, start->options->affinity);
    self_record();
    signal_initialise(false);
    damage_rtld_range(start->rtld.start, start->rtld.end);
    patching_initialise();
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask);
    thread->mask = mask;
    thread_block_signals();
    thread_register(thread);
    thread_bind(thread);
    if (session_shared())
        session_control_start();
    thread_arm();
    struct wire_context *context = thread->context;
    memset(context, 0, sizeof *context);
    context->gregs[REG_RIP] = start->entry;
    context->gregs[REG_RSP] = start->stack_pointer;
    context->gregs[REG_EFL] = 0x202;
    context->call = WIRE_NO_CALL;
    context_resume(thread, context);
}
