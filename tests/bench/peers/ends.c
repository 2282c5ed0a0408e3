/* SPDX-License-Identifier: Apache-2.0 */
#include "ends.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "core/loop.h"

#define SECOND 1000000000ull
#define WINDOW 32
/* What has not arrived by then is lost, nanoseconds. */
#define PATIENCE 20000000ull

void fail(struct outcome *outcome, const char *text)
{
	snprintf(outcome->failure, sizeof(outcome->failure), "%s", text);
}

/* Takes what there is.  Returns the number of frames. */
static unsigned int take(const struct ends *ends, unsigned int end)
{
	uint8_t frame[FRAME_MAX];
	unsigned int count = 0;

	while (count < WINDOW && ends->receive(ends->ends[end], frame, sizeof(frame)) > 0)
		count++;
	return count;
}

static double measure(const struct ends *ends, const uint8_t *frame, uint32_t size, uint64_t nanoseconds)
{
	uint64_t begin = loop_now(), now = begin, moved = begin, received = 0;
	unsigned int waiting = 0, taken;

	while (now - begin < nanoseconds) {
		while (waiting < WINDOW && ends->send(ends->ends[0], frame, size) > 0)
			waiting++;
		taken = take(ends, 1);
		received += taken;
		waiting -= taken < waiting ? taken : waiting;
		now = loop_now();
		if (taken > 0)
			moved = now;
		else if (now - moved > PATIENCE)
			waiting = 0;
	}
	return (double)received * (double)SECOND / (double)(now - begin);
}

/* The second end is learnt by a frame that it sends. */
void measure_rounds(const struct ends *ends, uint32_t size, struct outcome *outcome, unsigned int rounds,
		    uint64_t nanoseconds)
{
	uint8_t frame[FRAME_MAX] = {0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x88, 0xb5};
	uint8_t answer[FRAME_MAX] = {0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 0x88, 0xb5};

	ends->send(ends->ends[1], answer, size);
	measure(ends, frame, size, nanoseconds);
	for (unsigned int i = 0; i < rounds; i++)
		outcome->rates[i] = measure(ends, frame, size, nanoseconds);
	if (outcome->rates[0] == 0)
		fail(outcome, "no frame arrived");
}

void pin(int place)
{
	cpu_set_t processors;

	CPU_ZERO(&processors);
	CPU_SET(place, &processors);
	(void)sched_setaffinity(0, sizeof(processors), &processors);
}

void end_switch(pid_t child)
{
	if (child > 0) {
		kill(child, SIGTERM);
		waitpid(child, NULL, 0);
	}
}
