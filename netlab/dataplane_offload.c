/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/offload.h"
#include "netlab/capture.h"
#include "netlab/dataplane_internal.h"

/* Theory of operation
 * -------------------
 * Work that was left undone on a frame is done where somebody cannot take it so: a port whose receiver does not, and a
 * wire with impairments, which touches frames as a wire would carry them.  It is done for that one alone, in memory
 * that there is once: a frame that was finished meets nobody who needs it finished again. */

struct finishing {
	struct port *port;
	port_function *function;
	uint64_t now;
};

/* offload_function */
static void pass_one(void *opaque, const struct frame *frame)
{
	const struct finishing *finishing = opaque;
	struct capture *capture = finishing->port->dataplane->capture;

	if (capture)
		capture_change_form(capture);
	finishing->function(finishing->port, frame, finishing->now);
}

void port_finish(struct port *port, const struct frame *frame, uint64_t now, port_function *function)
{
	struct finishing finishing = {.port = port, .function = function, .now = now};

	offload_finish(frame, port->dataplane->room, pass_one, &finishing);
}

bool port_takes(const struct port *port, const struct frame *frame)
{
	/* Where nothing is plugged in, the frame is lost as it is. */
	return !port->ops || (port->ops->takes && port->ops->takes(port->opaque, frame));
}
