/*
 * Handover: the program runs without us, under its own rtld. For programs that run with more rights
 * than their user. Not for programs that we run: neither environment nor configuration of ours has
 * been read, and nothing has been sent.
 */
#ifndef LD_SPAN_HANDOVER_H
#define LD_SPAN_HANDOVER_H

/*
 * PT_INTERP mode: the kernel has mapped the program and built its stack (span_original_stack); maps
 * the rtld that the program would have had and enters it. Ends with status 127 and a line when
 * there is none.
 */
_Noreturn void handover_interpreter(void);
/* Executes the file natively. Ends with 126 or 127 and a line when that fails. */
_Noreturn void handover_exec(const char *path, char *argv[], char *envp[]);

#endif
