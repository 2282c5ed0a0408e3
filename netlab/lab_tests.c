/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/json_text.h"
#include "netlab/lab_internal.h"
#include "netlab/test_json.h"

/* What tests need of a lab: the tests themselves, and where captures are.
 *
 * A position goes through the whole capture: the data plane's thread puts a mark behind the frames it has captured, the
 * writer comes to it when those are in the files, and the control loop tells who asked.  The mark is freed there, so it
 * outlives whoever asked, and the lab. */

struct lab_position {
	struct lab *lab; /* NULL: it has gone. */
	struct loop *control;
	struct capture *capture;
	struct capture_mark mark;
	int result; /* Of putting the mark. */
	char *file;
	lab_done *done; /* NULL: nobody waits any more. */
	void *opaque;
	struct lab_position *next;
};

json_t *lab_tests(const struct lab *lab)
{
	return tests_json(lab->topology);
}

static void free_position(struct lab_position *position)
{
	free(position->file);
	free(position);
}

static void leave_list(struct lab_position *position)
{
	struct lab_position **at = &position->lab->positions;

	while (*at != position)
		at = &(*at)->next;
	*at = position->next;
}

/* loop_function, in the control loop. */
static void tell(void *opaque)
{
	struct lab_position *position = opaque;
	json_t *result;

	if (position->lab)
		leave_list(position);
	if (position->done) {
		result = json_pack("{s:o, s:I, s:I}", "file", json_text(position->file), "position",
				   (json_int_t)position->mark.position, "lost", (json_int_t)position->mark.lost);
		position->done(position->opaque, "", result);
		json_decref(result);
	}
	free_position(position);
}

/* Called in the writer's thread. */
static void reached(struct capture_mark *mark)
{
	struct lab_position *position = mark->opaque;

	loop_post(position->control, tell, position);
}

/* loop_function, in the data plane's thread. */
static void put_mark(void *opaque)
{
	struct lab_position *position = opaque;

	position->result = capture_put_mark(position->capture, &position->mark);
	capture_wake(position->capture);
}

static int check(const struct lab *lab, const char *port, struct error *error)
{
	if (!lab->captures || !lab->topology->capture.has_port_files)
		return error_set(error, ERROR_FAILED, ENOENT,
				 "lab %s captures no ports; take it down and start it without --no-capture, and "
				 "with \"ports\" among the files of \"capture:\", if it has some",
				 lab_name(lab));
	if (!dataplane_is_running(lab->context.dataplane))
		return error_set(error, ERROR_FAILED, EAGAIN, "lab %s does not run", lab_name(lab));
	if (capture_find_port(lab->capture, port) < 0)
		return error_set(error, ERROR_FAILED, ENOENT, "there is no port \"%.80s\" in lab %s", port,
				 lab_name(lab));
	return 0;
}

int lab_capture_position(struct lab *lab, const char *port, lab_done *done, void *opaque, struct error *error)
{
	struct lab_position *position;
	int result = check(lab, port, error);

	if (result < 0)
		return result;
	position = calloc(1, sizeof(*position));
	if (!position)
		return error_set(error, ERROR_FAILED, ENOMEM, "netlabd is out of memory");
	*position = (struct lab_position){.lab = lab,
					  .control = lab->context.control,
					  .capture = lab->capture,
					  .done = done,
					  .opaque = opaque,
					  .next = lab->positions};
	position->mark = (struct capture_mark){.port = capture_find_port(lab->capture, port),
					       .reached = reached,
					       .opaque = position};
	position->file = strdup(capture_file(lab->capture, position->mark.port));
	lab->positions = position;
	loop_call(dataplane_loop(lab->context.dataplane), put_mark, position);
	/* When it went well, it may be in other hands by now; it is told of in a later turn of this loop, though. */
	result = position->result;
	if (result == 0)
		return 0;
	leave_list(position);
	free_position(position);
	return error_set(error, ERROR_FAILED, -result, "the capture of %s cannot keep up, and loses frames", port);
}

void lab_forget_positions(struct lab *lab, const void *opaque)
{
	for (struct lab_position *position = lab->positions; position; position = position->next) {
		if (!opaque || position->opaque == opaque)
			position->done = NULL;
		if (!opaque)
			position->lab = NULL;
	}
}
