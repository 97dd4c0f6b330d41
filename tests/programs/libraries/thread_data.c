/* A library with thread-local data of its own, for thread_local_dlopen. */
static __thread int initialised = 41;
static __thread char large[20000];

int *data_next(void);
int *data_next(void)
{
    initialised++;
    large[initialised % 20000] = 1;
    return &initialised;
}
