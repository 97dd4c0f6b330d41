/*
 * Pre-shared keys in files: one line of 64 hexadecimal digits, readable by nobody but the owner.
 * Not for what is done with a key (channel_tls.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/channel_private.h"

#define KEY_DIGITS (2 * CHANNEL_KEY_BYTES)

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

static bool key_parse(const char *text, size_t length, struct channel_key *key)
{
    while (length > KEY_DIGITS && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    if (length != KEY_DIGITS)
        return false;
    for (size_t i = 0; i < CHANNEL_KEY_BYTES; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Whoever else can read the key can run programs on every node that trusts it. */
static int key_check_file(int fd, const char *path, char why[WIRE_MESSAGE_BYTES])
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode)) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot use key file %s: it is not a regular file", path);
        return -EINVAL;
    }
    if (status.st_mode & 0177) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot use key file %s: its mode is %04o and must be 0600 (chmod 600 it)",
                 path, status.st_mode & 07777);
        return -EPERM;
    }
    if (status.st_uid != geteuid() && status.st_uid != 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot use key file %s: it belongs to user %u (chown it)", path,
                 status.st_uid);
        return -EPERM;
    }
    return 0;
}

int channel_key_read(const char *path, struct channel_key **key, char why[WIRE_MESSAGE_BYTES])
{
    char text[KEY_DIGITS + 8];
    *key = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int error = errno;
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot read key file %s: %s", path, strerror(error));
        return -error;
    }
    int error = key_check_file(fd, path, why);
    if (error) {
        close(fd);
        return error;
    }
    ssize_t length = read(fd, text, sizeof text);
    error = length < 0 ? -errno : 0;
    close(fd);
    struct channel_key *result = calloc(1, sizeof *result);
    if (!result)
        error = -ENOMEM;
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot read key file %s: %s", path, strerror(-error));
    } else if (!key_parse(text, (size_t)length, result)) {
        snprintf(why, WIRE_MESSAGE_BYTES,
                 "cannot use key file %s: it is not one line of %d hexadecimal digits "
                 "(make one with spand --keygen)",
                 path, KEY_DIGITS);
        error = -EINVAL;
    }
    explicit_bzero(text, sizeof text);
    if (error) {
        free(result);
        return error;
    }
    *key = result;
    return 0;
}

int channel_key_create(const char *path, char why[WIRE_MESSAGE_BYTES])
{
    uint8_t bytes[CHANNEL_KEY_BYTES];
    char text[KEY_DIGITS + 1];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        int error = errno;
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot create key file %s: %s%s", path, strerror(error),
                 error == EEXIST ? " (remove it first)" : "");
        return -error;
    }
    int error = getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes ? 0 : -EIO;
    for (size_t i = 0; i < sizeof bytes; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[KEY_DIGITS] = '\n';
    if (!error) {
        ssize_t written = write(fd, text, sizeof text);
        error = written == (ssize_t)sizeof text ? 0 : written < 0 ? -errno : -ENOSPC;
    }
    if (close(fd) < 0 && !error)
        error = -errno;
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(text, sizeof text);
    if (error) {
        unlink(path);
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot write key file %s: %s", path, strerror(-error));
    }
    return error;
}
