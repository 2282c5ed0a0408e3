/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H 1

/* Threads that hear no signals
 * ============================
 *
 * Signals are the main thread's.  Those that a thread raises by its own fault (SIGSEGV and its like) are not held back:
 * held back, they would kill the process without its handler.
 *
 * Thread-safety: any thread. */

#include <pthread.h>
#include <signal.h>

/* As pthread_create(3), with a name of at most 15 bytes.  Returns 0 or a negative errno value. */
int thread_start(pthread_t *thread, const char *name, void *(*function)(void *opaque), void *opaque);

/* Calls 'function' for each signal that is a fault of the process. */
void thread_for_each_fault(void (*function)(void *opaque, int signal_number), void *opaque);

#endif /* thread.h */
