/* A terminal: settings, lines and single keys, its size, its name, from threads on several nodes.
 */
#include <pthread.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "behaviour.h"

static int master, slave;

static void *type(void *unused)
{
    CHECK(write(master, "one lime\177\177ne\n", 13) == 13);
    return unused;
}

int main(void)
{
    pthread_t thread;
    char text[64], name[64];
    struct termios settings;
    struct winsize size = {.ws_row = 10, .ws_col = 20};
    CHECK(openpty(&master, &slave, name, NULL, &size) == 0 && isatty(slave) && strcmp(ttyname(slave), name) == 0);
    CHECK(ioctl(slave, TIOCGWINSZ, &size) == 0 && size.ws_col == 20);
    CHECK0(pthread_create(&thread, NULL, type, NULL));
    ssize_t got = read(slave, text, sizeof text);
    CHECK0(pthread_join(thread, NULL));
    CHECK(got > 0);
    printf("%.*s", (int)got, text);
    CHECK(tcgetattr(slave, &settings) == 0 && settings.c_lflag & ICANON);
    cfmakeraw(&settings);
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0 && tcflush(slave, TCIOFLUSH) == 0);
    CHECK(write(master, "k", 1) == 1 && read(slave, text, sizeof text) == 1 && text[0] == 'k');
    int waiting = 5;
    CHECK(write(master, "abc", 3) == 3 && ioctl(slave, FIONREAD, &waiting) == 0);
    while (waiting < 3)
        CHECK(ioctl(slave, FIONREAD, &waiting) == 0);
    printf("%d\n", waiting);
    return 0;
}
