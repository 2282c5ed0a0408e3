/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "netlab/capture_internal.h"

/* The producer's side of a capture: what the data plane's thread writes into the ring. */

static void count_lost(struct capture *capture, int port)
{
	_Atomic uint64_t *lost = &capture->ports[port]->lost;

	atomic_store_explicit(lost, atomic_load_explicit(lost, memory_order_relaxed) + 1, memory_order_relaxed);
}

static uint8_t undone_of(const struct frame *frame)
{
	unsigned int checksum = frame_is_offloaded(frame) ? CAPTURE_CHECKSUM : 0;

	return (uint8_t)(checksum | (frame->offload.segment_size > 0 ? CAPTURE_SEGMENTATION : 0));
}

/* Begins a record of the frame in this form. */
static void open_record(struct capture *capture, const struct frame *frame)
{
	struct capture_current *current = &capture->current;
	size_t max = capture->options.snap_len ? capture->options.snap_len : SIZE_MAX;
	uint32_t captured = (uint32_t)(frame->size < max ? frame->size : max);
	struct capture_record *record = capture_ring_reserve(capture->ring,
							     capture_record_size(captured, CAPTURE_CROSSINGS_MAX) +
								     sizeof(struct capture_impairment));

	current->frame = frame;
	current->record = record;
	current->count = 0;
	current->sent = NULL;
	if (!record)
		return;
	*record = (struct capture_record){.time = current->time,
					  .id = current->id,
					  .kind = CAPTURE_FRAME,
					  .undone = undone_of(frame),
					  .size = (uint32_t)frame->size,
					  .captured = captured};
	current->crossings = (struct capture_crossing *)(uintptr_t)capture_record_crossings(record);
	frame_copy(frame, record->bytes, captured);
}

static void close_record(struct capture *capture)
{
	struct capture_current *current = &capture->current;

	size_t size;

	if (!current->record || current->count == 0)
		return;
	current->record->crossing_count = current->count;
	size = capture_record_size(current->record->captured, current->count);
	if (current->is_impaired) {
		current->record->is_impaired = true;
		memcpy(current->crossings + current->count, &current->impairment, sizeof(current->impairment));
		size += sizeof(current->impairment);
	}
	capture_ring_commit(capture->ring, size);
	current->record = NULL;
}

/* Returns the crossing, or NULL when it is lost. */
static struct capture_crossing *add_crossing(struct capture *capture, int port, const struct frame *frame)
{
	struct capture_current *current = &capture->current;
	struct capture_crossing *crossing;

	if (port < 0 || port >= atomic_load_explicit(&capture->port_count, memory_order_relaxed))
		return NULL;
	if (frame != current->frame || current->count == CAPTURE_CROSSINGS_MAX) {
		close_record(capture);
		open_record(capture, frame);
	}
	if (!current->record) {
		count_lost(capture, port);
		return NULL;
	}
	crossing = &current->crossings[current->count++];
	*crossing = (struct capture_crossing){.port = (uint32_t)port};
	return crossing;
}

void capture_begin(struct capture *capture, const struct frame *frame, uint64_t id, uint64_t time)
{
	capture->current.time = time;
	capture->current.id = id;
	capture->current.is_open = true;
	capture->current.resumed = -1;
	open_record(capture, frame);
}

void capture_resume(struct capture *capture, const struct frame *frame, uint64_t id, uint64_t time, int port,
		    const struct capture_impairment *impairment)
{
	capture_begin(capture, frame, id, time);
	capture->current.resumed = port;
	capture->current.is_impaired = true;
	capture->current.impairment = *impairment;
}

void capture_send(struct capture *capture, int port)
{
	struct capture_crossing *crossing = add_crossing(capture, port, capture->current.frame);

	if (crossing)
		crossing->is_on_wire = true;
	capture->current.sent = crossing;
}

void capture_receive(struct capture *capture, int port, const struct frame *frame)
{
	struct capture_crossing *crossing = add_crossing(capture, port, frame);

	if (crossing)
		crossing->is_on_wire = crossing->is_received = true;
}

void capture_change_form(struct capture *capture)
{
	capture->current.frame = NULL;
}

void capture_drop_received(struct capture *capture, int port, const struct frame *frame, int reason, uint32_t limit)
{
	struct capture_crossing *crossing = add_crossing(capture, port, frame);

	if (!crossing)
		return;
	crossing->is_received = true;
	crossing->drop = (uint8_t)(reason + 1);
	crossing->limit = limit;
}

void capture_drop_sent(struct capture *capture, int reason, uint32_t limit)
{
	struct capture_current *current = &capture->current;
	struct capture_crossing *sent = current->sent;

	if (!sent && current->resumed >= 0)
		sent = add_crossing(capture, current->resumed, current->frame);
	if (!sent)
		return; /* It is lost to the capture already, or its port is not captured. */
	sent->drop = (uint8_t)(reason + 1);
	sent->limit = limit;
}

/* The record of a frame that was on no wire. */
static void add_refusal(struct capture *capture, const struct frame *frame, const struct capture_refusal *refusal,
			uint64_t time)
{
	static const struct frame none;
	struct capture_crossing *crossing;

	capture->current.time = time;
	capture->current.id = refusal->id;
	open_record(capture, frame ? frame : &none);
	crossing = add_crossing(capture, refusal->port, capture->current.frame);
	if (!crossing)
		return;
	crossing->drop = (uint8_t)(refusal->reason + 1);
	capture->current.record->size = refusal->size < UINT32_MAX ? (uint32_t)refusal->size : UINT32_MAX;
	close_record(capture);
}

void capture_end(struct capture *capture)
{
	struct capture_current *current = &capture->current;
	const uint64_t time = current->time;

	close_record(capture);
	current->is_open = false;
	current->is_impaired = false;
	for (uint32_t i = 0; i < current->refusal_count; i++)
		add_refusal(capture, NULL, &current->refusals[i], time);
	current->refusal_count = 0;
}

void capture_refuse(struct capture *capture, int port, const struct frame *frame, size_t size, uint64_t id,
		    uint64_t time, int reason)
{
	struct capture_current *current = &capture->current;
	const struct capture_refusal refusal = {.port = port, .reason = reason, .size = size, .id = id};

	if (port < 0)
		return; /* It is not captured. */
	if (!current->is_open)
		add_refusal(capture, frame, &refusal, time);
	else if (current->refusal_count < CAPTURE_REFUSALS_MAX)
		current->refusals[current->refusal_count++] = refusal;
	else
		count_lost(capture, port);
}

/* A record that is no frame, or NULL when the ring is full. */
static struct capture_record *add_record(struct capture *capture, enum capture_kind kind, uint32_t size)
{
	struct capture_record *record = capture_ring_reserve(capture->ring, capture_record_size(size, 0));

	if (record)
		*record = (struct capture_record){.kind = kind, .captured = size, .size = size};
	return record;
}

void capture_event(struct capture *capture, const char *text, uint64_t time)
{
	size_t size = strnlen(text, CAPTURE_EVENT_MAX);
	struct capture_record *record = add_record(capture, CAPTURE_EVENT, (uint32_t)size);

	if (!record)
		return;
	record->time = time;
	memcpy(record->bytes, text, size);
	capture_ring_commit(capture->ring, capture_record_size((uint32_t)size, 0));
}

void capture_end_port(struct capture *capture, int port)
{
	struct capture_record *record;

	if (port < 0 || port >= capture->port_count)
		return;
	record = add_record(capture, CAPTURE_END, 0);
	if (!record)
		return;
	record->id = (uint64_t)port;
	atomic_store(&capture->ports[port]->state, CAPTURE_ENDING);
	capture_ring_commit(capture->ring, sizeof(*record));
}

int capture_put_mark(struct capture *capture, struct capture_mark *mark)
{
	struct capture_record *record;

	if (mark->port < 0 || mark->port >= capture->port_count)
		return -ENOENT;
	record = add_record(capture, CAPTURE_MARK, 0);
	if (!record)
		return -EAGAIN;
	record->id = (uintptr_t)mark;
	/* Here and not by the writer, who may be far behind. */
	mark->lost = atomic_load_explicit(&capture->ports[mark->port]->lost, memory_order_relaxed);
	capture_ring_commit(capture->ring, sizeof(*record));
	return 0;
}

void capture_wake(struct capture *capture)
{
	capture_ring_announce(capture->ring);
}
