/* SPDX-License-Identifier: Apache-2.0 */
#include "core/polling.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Theory of operation
 * -------------------
 * As KVM has it for a vCPU that halts (kvm_vcpu_halt() in Linux): when something came so soon after the last that
 * polling for the longest time would have met it, that is what is polled for from then on.  When it came later,
 * polling was for nothing, and the next time is an eighth shorter, until it is not worth beginning.  So one short
 * pause pays for some long ones (a ping has both, in turn), and who hears of something now and then stops polling
 * soon.
 *
 * KVM stops when another thread wants its processor.  A process is not told; but the kernel says how many threads
 * want to run, and where they are more than processors, each of them has a better use for this one.  Asking is a system
 * call, so it is done once in a while. */

#define SHORTEST 10000

/* How long what was said of the machine's load is taken to be true, nanoseconds. */
#define LOAD_LASTS_FREE 1000000
#define LOAD_LASTS_BUSY 4000000

static unsigned int count_processors(void)
{
	cpu_set_t processors;

	/* One whose processors do not fit has more than enough. */
	return sched_getaffinity(0, sizeof(processors), &processors) == 0 ? (unsigned int)CPU_COUNT(&processors) :
									    CPU_SETSIZE;
}

void polling_init(struct polling *polling, uint64_t longest)
{
	*polling = (struct polling){.load_fd = -1, .processors = count_processors()};
	if (longest == 0 || polling->processors < 2)
		return;
	polling->load_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	if (polling->load_fd >= 0)
		polling->longest = longest;
}

void polling_release(struct polling *polling)
{
	if (polling->load_fd >= 0)
		close(polling->load_fd);
	polling->load_fd = -1;
	polling->longest = 0;
}

void polling_found(struct polling *polling, uint64_t now)
{
	/* It would nearly have come too late. */
	if (polling->budget > 0 && now - polling->since > polling->budget / 2)
		polling->budget = polling->longest;
	polling->since = now;
}

void polling_woken(struct polling *polling, uint64_t now)
{
	if (now - polling->since <= polling->longest)
		polling->budget = polling->longest;
	else
		polling->budget -= polling->budget / 8;
	if (polling->budget < SHORTEST)
		polling->budget = 0;
	polling->since = now;
}

unsigned int polling_read_load(const char *text)
{
	unsigned int running;

	return sscanf(text, "%*s %*s %*s %u/", &running) == 1 ? running : 0;
}

/* This thread is one of those that run. */
static bool has_processor_to_spare(const struct polling *polling)
{
	char text[64];
	ssize_t length = pread(polling->load_fd, text, sizeof(text) - 1, 0);
	unsigned int running;

	if (length <= 0)
		return false;
	text[length] = '\0';
	running = polling_read_load(text);
	return running > 0 && running <= polling->processors;
}

bool polling_goes_on(struct polling *polling, uint64_t now)
{
	if (now - polling->since >= polling->budget)
		return false;
	if (now - polling->asked >= (polling->is_free ? LOAD_LASTS_FREE : LOAD_LASTS_BUSY)) {
		polling->is_free = has_processor_to_spare(polling);
		polling->asked = now;
	}
	return polling->is_free;
}
