/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "netlab/dataplane_internal.h"

/* Answers given from within a deliver function, which wait until the frame they answer has reached all its receivers.
 * Room for those of the usual size is kept for the next ones. */

/* What most frames have room in. */
#define ANSWER_ROOM 2048

/* Room for an answer of 'size' bytes, or NULL. */
static struct answer *make_answer(struct dataplane *dataplane, size_t size)
{
	struct answer *answer = STAILQ_FIRST(&dataplane->spare_answers);

	if (size > ANSWER_ROOM)
		return malloc(sizeof(*answer) + size);
	if (!answer)
		return malloc(sizeof(*answer) + ANSWER_ROOM);
	STAILQ_REMOVE_HEAD(&dataplane->spare_answers, next);
	return answer;
}

static void free_answer(struct dataplane *dataplane, struct answer *answer)
{
	if (answer->size > ANSWER_ROOM)
		free(answer);
	else
		STAILQ_INSERT_HEAD(&dataplane->spare_answers, answer, next);
}

bool port_keep_answer(struct port *from, const struct frame *frame)
{
	struct dataplane *dataplane = from->dataplane;
	struct answer *answer = NULL;

	if (dataplane->answer_count < PORT_ANSWERS_MAX)
		answer = make_answer(dataplane, frame->size);
	if (!answer)
		return false;
	dataplane->answer_count++;
	answer->from = from;
	answer->offload = frame->offload;
	answer->size = frame->size;
	frame_copy(frame, answer->bytes, frame->size);
	STAILQ_INSERT_TAIL(&dataplane->answers, answer, next);
	return true;
}

static void forward_answer(const struct answer *answer)
{
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, answer->bytes, answer->size);
	frame.offload = answer->offload;
	port_forward(answer->from, &frame);
}

void dataplane_forward_answers(struct dataplane *dataplane)
{
	struct answer *answer;

	while ((answer = STAILQ_FIRST(&dataplane->answers))) {
		STAILQ_REMOVE_HEAD(&dataplane->answers, next);
		forward_answer(answer);
		free_answer(dataplane, answer);
	}
	dataplane->answer_count = 0;
}

void dataplane_free_answers(struct dataplane *dataplane)
{
	struct answer *answer;

	while ((answer = STAILQ_FIRST(&dataplane->spare_answers))) {
		STAILQ_REMOVE_HEAD(&dataplane->spare_answers, next);
		free(answer);
	}
}
