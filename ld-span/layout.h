/* The kernel's address layout, before anything is mapped by its choice. */
#ifndef LD_SPAN_LAYOUT_H
#define LD_SPAN_LAYOUT_H

/*
 * Returns when the kernel's mappings stay clear of the program's addresses; otherwise executes `file`, which is
 * ld-span.so or the program that it is the interpreter of, once more. Takes its variable out of `envp`.
 */
void layout_choose(const char *file, char *argv[], char *envp[]);

#endif
