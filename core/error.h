/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H 1

/* Errors of start-up: a sentence for the user and a class that becomes the exit code.
 *
 * Functions that can fail in ways a user must understand take a 'struct error *' and return a negative errno value;
 * run-time paths that guests can reach never use this, they quarantine (see devices/virtqueue.h).
 *
 * Thread-safety: any thread; a struct error belongs to one. */

enum error_class {
	ERROR_NONE = 0,
	ERROR_FAILED = 1, /* It did not work. */
	ERROR_USAGE = 2,  /* The command line or the topology is wrong. */
	ERROR_HOST = 3,   /* The host lacks something; the text says what to do. */
};

struct error {
	enum error_class class;
	char text[1024]; /* No final newline; may have several lines. */
};

/* Sets 'error' (unless NULL) and returns -'errnum', so that callers can 'return error_set(...)'. */
int error_set(struct error *error, enum error_class class, int errnum, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif /* error.h */
