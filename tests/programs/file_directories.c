/* Directories, links, names, attributes: made by one thread, seen by threads on other nodes at
 * once. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "behaviour.h"

static pthread_barrier_t barrier;

static int count(const char *path)
{
    DIR *directory = opendir(path);
    int entries = 0;
    CHECK(directory);
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries - 2;
}

static void *look(void *unused)
{
    struct stat status;
    struct statx more;
    char target[64] = "";
    pthread_barrier_wait(&barrier);
    CHECK(count("made") == 20 && stat("made/5", &status) == 0 && status.st_size == 5 && status.st_nlink == 2);
    CHECK(lstat("link", &status) == 0 && S_ISLNK(status.st_mode) && readlink("link", target, sizeof target) == 6);
    CHECK(statx(AT_FDCWD, "link/7", 0, STATX_ALL, &more) == 0 && more.stx_size == 7 && (more.stx_mode & 0777) == 0640);
    CHECK(access("made/5", R_OK) == 0 && access("made/none", F_OK) == -1 && errno == ENOENT &&
          access("made/5/x", F_OK) == -1 && errno == ENOTDIR);
    CHECK(rename("made/5", "moved") == 0 && renameat2(AT_FDCWD, "moved", AT_FDCWD, "made/6", RENAME_NOREPLACE) == -1 &&
          errno == EEXIST);
    pthread_barrier_wait(&barrier);
    return unused;
}

int main(void)
{
    pthread_t thread;
    char path[64];
    CHECK0(pthread_barrier_init(&barrier, NULL, 2));
    CHECK0(pthread_create(&thread, NULL, look, NULL));
    CHECK(mkdir("made", 0755) == 0 && mkdir("made", 0755) == -1 && errno == EEXIST);
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "made/%d", i);
        int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
        CHECK(file >= 0 && ftruncate(file, i) == 0 && close(file) == 0);
    }
    CHECK(link("made/5", "hard") == 0 && symlink("./made", "link") == 0 && chmod("made/7", 0640) == 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    CHECK0(pthread_join(thread, NULL));
    CHECK(count("made") == 19 && rmdir("made") == -1 && errno == ENOTEMPTY && unlink("made") == -1 && errno == EISDIR);
    puts("seen");
    return 0;
}
