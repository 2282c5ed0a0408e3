/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/dataplane_internal.h"

/* What the data plane's capture knows of ports.  Frames are captured where they are passed on, in
 * netlab/dataplane.c. */

/* Adds the port to the capture, and returns its number there or a negative errno value with 'error' set. */
static int add_to_capture(struct port *port, struct error *error)
{
	struct capture *capture = port->dataplane->capture;
	int number = capture_add_port(capture, port->name, error);

	if (number >= 0 && port->description &&
	    capture_describe_port(capture, number, port->description, port->has_mac ? port->mac : NULL) < 0)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	return number;
}

int dataplane_start_capture(struct dataplane *dataplane, struct error *error)
{
	struct port *port;

	if (!dataplane->capture)
		return 0;
	TAILQ_FOREACH(port, &dataplane->ports, next) {
		port->capture_port = add_to_capture(port, error);
		if (port->capture_port < 0)
			return port->capture_port;
		port_tell_speed(port);
	}
	return capture_start(dataplane->capture, error);
}

int dataplane_describe_port(struct port *port, const char *description, const uint8_t *mac)
{
	struct capture *capture = port->dataplane->capture;
	int number = capture ? capture_find_port(capture, port->name) : -ENOENT;
	char *copy = strdup(description);

	if (!copy)
		return -ENOMEM;
	free(port->description);
	port->description = copy;
	port->has_mac = mac != NULL;
	if (mac)
		memcpy(port->mac, mac, sizeof(port->mac));
	return number < 0 ? 0 : capture_describe_port(capture, number, description, mac);
}

struct told {
	struct dataplane *dataplane;
	char text[CAPTURE_EVENT_MAX + 1];
};

/* loop_function */
static void tell(void *opaque)
{
	struct told *told = opaque;
	struct capture *capture = told->dataplane->capture;

	capture_event(capture, told->text, capture_time(capture, loop_now()));
	free(told);
}

void dataplane_tell_capture(struct dataplane *dataplane, const char *text)
{
	struct told *told = dataplane->capture && dataplane->running ? malloc(sizeof(*told)) : NULL;

	if (!told)
		return;
	told->dataplane = dataplane;
	snprintf(told->text, sizeof(told->text), "%s", text);
	loop_post(dataplane->loop, tell, told);
}

/* A port and its number in the capture. */
struct captured_port {
	struct port *port;
	int number;
};

/* loop_function */
static void set_capture_port(void *opaque)
{
	const struct captured_port *captured = opaque;

	captured->port->capture_port = captured->number;
	port_tell_speed(captured->port);
}

int dataplane_capture_port(struct port *port, struct error *error)
{
	struct captured_port captured = {.port = port};
	struct dataplane *dataplane = port->dataplane;

	if (!dataplane->capture || !dataplane->running)
		return 0; /* dataplane_start() will do it. */
	captured.number = add_to_capture(port, error);
	if (captured.number < 0)
		return captured.number;
	dataplane_call(dataplane, set_capture_port, &captured);
	return 0;
}
