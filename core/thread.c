/* SPDX-License-Identifier: Apache-2.0 */
#include "core/thread.h"

#include <stddef.h>

void thread_for_each_fault(void (*function)(void *opaque, int signal_number), void *opaque)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		function(opaque, faults[i]);
}

static void let_through(void *opaque, int signal_number)
{
	sigdelset(opaque, signal_number);
}

int thread_start(pthread_t *thread, const char *name, void *(*function)(void *opaque), void *opaque)
{
	sigset_t held, before;
	int result;

	sigfillset(&held);
	thread_for_each_fault(let_through, &held);
	pthread_sigmask(SIG_SETMASK, &held, &before);
	result = pthread_create(thread, NULL, function, opaque);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result == 0)
		pthread_setname_np(*thread, name);
	return -result;
}
