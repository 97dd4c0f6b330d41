/* What the monitor must do for userfaultfd before the program runs. Pages themselves are the pager's. */
#ifndef RUNTIME_USERFAULT_H
#define RUNTIME_USERFAULT_H

/* Opens /dev/userfaultfd, if it is there and allowed, at `fd_floor` or above: a program may give up that right later.
 */
void userfault_device_keep(int fd_floor);
/* That descriptor, -1: none; and in a copy of the process another number for it. */
int userfault_device(void);
void userfault_device_is(int fd);

#endif
