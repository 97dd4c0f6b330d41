/* Streams are locked: lines of threads on several nodes do not mix, and flockfile holds a stream.
 */
#include <pthread.h>

#include "behaviour.h"

static FILE *file;

static void *run(void *argument)
{
    for (int i = 0; i < 50; i++) {
        fprintf(file, "%ld says %d to whom it may concern\n", (long)argument, i);
        flockfile(file);
        fprintf(file, "%ld begins ", (long)argument);
        fprintf(file, "and %ld ends\n", (long)argument);
        funlockfile(file);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    char line[128];
    int lines = 0;
    file = tmpfile();
    CHECK(file);
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        int first, second;
        lines++;
        CHECK(sscanf(line, "%d says %d to", &first, &second) == 2 ||
              (sscanf(line, "%d begins and %d ends", &first, &second) == 2 && first == second));
    }
    printf("%d\n", lines);
    return 0;
}
