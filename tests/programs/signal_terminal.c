/* Ctrl-C, Ctrl-\ and Ctrl-Z on a terminal reach the foreground process group; a change of size is
 * told. */
#include <fcntl.h>
#include <pty.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "behaviour.h"

static _Atomic int last;

static void handler(int signal)
{
    last = signal;
}

static void *spin(void *unused)
{
    for (;;)
        __asm__ volatile("pause");
    return unused;
}

static void child_run(void)
{
    static const int signals[] = {SIGINT, SIGQUIT, SIGWINCH};
    pthread_t thread;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    for (int i = 0; i < 3; i++)
        CHECK(sigaction(signals[i], &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, spin, NULL));
    for (int i = 0; i < 3; i++) {
        CHECK(write(1, "?", 1) == 1);
        while (last != signals[i])
            usleep(1000);
    }
    struct winsize size;
    CHECK(ioctl(0, TIOCGWINSZ, &size) == 0 && size.ws_row == 33);
    CHECK(write(1, "?", 1) == 1);
    for (;;)
        pause();
}

int main(void)
{
    int master, status;
    struct winsize size = {.ws_row = 33, .ws_col = 100};
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0) {
        signal(SIGTTOU, SIG_IGN);
        pid_t job = fork();
        setpgid(job, job);
        tcsetpgrp(0, job ? job : getpid());
        if (job == 0)
            child_run();
        CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status));
        kill(job, SIGKILL);
        _exit(WSTOPSIG(status));
    }
    CHECK(child > 0);
    for (int i = 0; i < 4; i++) {
        char byte = 0;
        while (byte != '?')
            CHECK(read(master, &byte, 1) == 1);
        if (i == 2)
            CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
        else
            CHECK(write(master, i == 0 ? "\003" : i == 1 ? "\034" : "\032", 1) == 1);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == SIGTSTP);
    puts("all keys");
    return 0;
}
