/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_PUMP_H
#define NETLAB_CAPTURE_PUMP_H 1

/* Passes a capture of a running lab on
 * ====================================
 *
 * From the socket of a lab's netlabd to where it goes, block by block: what a file has is always whole, whatever
 * happens, and each file of a series begins with the blocks that a reader needs first, section, names and
 * interfaces, as they passed.  While the output's reader is slow nothing is read, so netlabd drops frames, and says
 * how many.
 *
 * Ends when the stream does, or the output's reader has gone, or all frames that were wanted have passed.  It is
 * stopped by a signal, or when its time is over: netlabd is told then, and what it still sends is passed on; another
 * signal ends it at once.  SIGINT, SIGTERM and SIGHUP are taken by a signalfd meanwhile, and SIGPIPE and SIGXFSZ are
 * ignored from then on.
 *
 * Thread-safety: one thread. */

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "netlab/capture_output.h"

struct capture_pump {
	/* The caller fills these. */
	int source;           /* The socket. */
	uint64_t frames_max;  /* 0: any number. */
	int64_t milliseconds; /* After which it is stopped; 0: never. */
	struct capture_output *output;

	/* What came of it. */
	uint64_t frames; /* That were written. */
	uint64_t lost;   /* That netlabd said are missing among those. */
};

/* Returns 0; or -EPIPE when nobody reads the output any more; or another negative errno value with 'error' set. */
int capture_pump_run(struct capture_pump *pump, struct error *error);

#endif /* capture_pump.h */
