/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/thread.h"
#include "netlab/attachment_internal.h"

/* Theory of operation
 * -------------------
 * A thread reads the capture ahead, through libpcap, into a queue of bounded size, and the data plane sends from there
 * what is due.  A thread, since a disk may take its time: a read(2), or a page fault of a mapped file, would hold up
 * every frame of the lab.  They share a lock, which is held to link or unlink one record and never while anything is
 * read, and an eventfd, by which the thread says that the queue is empty no more.
 *
 *      file -> (thread) -> queue -> (data plane: timer, task) -> port
 *
 * Each record has the time at which it is due, in the capture's own time since its first frame; rounds follow each
 * other in it.  A frame whose time is before that of the one before it is due at once.  The speed is applied at
 * sending.  What is late is sent without delay, a batch a turn, so that the lab's other frames are not kept waiting. */

/* Bytes of frames that are read ahead: at 10 Gb/s some milliseconds.  One frame is always let in. */
#define AHEAD_MAX (4u << 20)

/* Between rounds of a capture of one frame, which says nothing of its rate. */
#define LONE_PAUSE 1000000000ull

/* Longest time between two frames of a capture; what says more is damaged. */
#define PAUSE_MAX (100ull * 365 * 86400 * 1000000000)

struct record {
	STAILQ_ENTRY(record) next;
	uint64_t due; /* Nanoseconds. */
	size_t size;  /* Of the frame; FRAME_SIZE_MAX of its bytes are kept, at most. */
	uint8_t bytes[];
};

struct replay {
	struct attachment base;
	pthread_t thread;
	bool has_thread;
	struct loop_watch wake; /* The eventfd, or -1. */
	pthread_mutex_t lock;
	pthread_cond_t room;
	/* Under the lock. */
	STAILQ_HEAD(, record) queue;
	size_t queued;  /* Bytes. */
	bool stopping;  /* The thread is to end. */
	bool ended;     /* It has read all. */
	uint64_t total; /* Frames of all rounds, once one has been read; 0: not known, or without end. */
	char failure[ATTACHMENT_DETAIL_SIZE];
	/* The data plane's. */
	bool started;
	uint64_t begin; /* loop_now() at which the first frame is due. */
	uint64_t sent;  /* Frames. */
	struct loop_timer timer;
	struct loop_task task;
};

static struct replay *replay_of(struct attachment *attachment)
{
	return (struct replay *)attachment;
}

/* The thread. */

/* Where a round is in time. */
struct round {
	struct timespec first; /* Timestamp of the capture's first frame. */
	uint64_t begin;        /* When the round's first frame is due. */
	uint64_t due;          /* When the last one was. */
	uint64_t frames;
};

/* Takes the record.  Returns false when there is no more to do. */
static bool enqueue(struct replay *replay, struct record *record)
{
	bool is_first, goes_on;

	pthread_mutex_lock(&replay->lock);
	while (!replay->stopping && replay->queued > 0 && replay->queued + record->size > AHEAD_MAX)
		pthread_cond_wait(&replay->room, &replay->lock);
	goes_on = !replay->stopping;
	is_first = STAILQ_EMPTY(&replay->queue);
	if (goes_on) {
		STAILQ_INSERT_TAIL(&replay->queue, record, next);
		replay->queued += record->size + sizeof(*record);
	}
	pthread_mutex_unlock(&replay->lock);
	if (goes_on && is_first)
		eventfd_write(replay->wake.fd, 1);
	if (!goes_on)
		free(record);
	return goes_on;
}

/* When a frame with this timestamp is due. */
static uint64_t due_at(struct round *round, const struct pcap_pkthdr *header)
{
	/* With nanoseconds asked for, that is what tv_usec has. */
	uint64_t nanoseconds = (uint64_t)header->ts.tv_usec - (uint64_t)round->first.tv_nsec;
	int64_t seconds = (int64_t)((uint64_t)header->ts.tv_sec - (uint64_t)round->first.tv_sec);
	uint64_t due = round->begin;

	if (seconds >= 0 && (uint64_t)seconds < PAUSE_MAX / 1000000000)
		due += (uint64_t)seconds * 1000000000 + nanoseconds;
	/* One that is before the first wraps around. */
	return due > round->due && due - round->due <= PAUSE_MAX ? due : round->due;
}

static void fail(struct replay *replay, const char *reason)
{
	pthread_mutex_lock(&replay->lock);
	snprintf(replay->failure, sizeof(replay->failure), "%s", reason);
	pthread_mutex_unlock(&replay->lock);
}

/* Returns false when there is no more to do. */
static bool take(struct replay *replay, struct round *round, const struct pcap_pkthdr *header, const uint8_t *bytes)
{
	size_t kept = header->caplen < FRAME_SIZE_MAX ? header->caplen : FRAME_SIZE_MAX;
	struct record *record = malloc(sizeof(*record) + kept);

	if (!record) {
		fail(replay, "out of memory");
		return false;
	}
	if (round->frames == 0)
		round->first = (struct timespec){.tv_sec = header->ts.tv_sec, .tv_nsec = header->ts.tv_usec};
	round->due = due_at(round, header);
	round->frames++;
	record->due = round->due;
	record->size = header->caplen;
	memcpy(record->bytes, bytes, kept);
	return enqueue(replay, record);
}

/* Reads all of the capture once.  Returns false when there is no more to do. */
static bool read_round(struct replay *replay, struct round *round)
{
	char problem[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_open_offline_with_tstamp_precision(replay->base.topology->path, PCAP_TSTAMP_PRECISION_NANO,
							       problem);
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	bool goes_on = true;
	int result = 1;

	if (!pcap || pcap_datalink(pcap) != DLT_EN10MB) {
		fail(replay, pcap ? "it is no capture of Ethernet any more" : problem);
		if (pcap)
			pcap_close(pcap);
		return false;
	}
	while (goes_on && (result = pcap_next_ex(pcap, &header, &bytes)) == 1)
		goes_on = take(replay, round, header, bytes);
	if (goes_on && result == PCAP_ERROR) {
		fail(replay, pcap_geterr(pcap));
		goes_on = false;
	}
	pcap_close(pcap);
	return goes_on;
}

static void *read_ahead(void *opaque)
{
	struct replay *replay = opaque;
	const unsigned int rounds = replay->base.topology->rounds;
	struct round round = {.begin = 0};

	for (unsigned int i = 0; rounds == 0 || i < rounds; i++) {
		uint64_t length;

		round.frames = 0;
		if (!read_round(replay, &round) || round.frames == 0)
			break;
		pthread_mutex_lock(&replay->lock);
		replay->total = round.frames * rounds;
		pthread_mutex_unlock(&replay->lock);
		/* The next round follows as frames follow each other. */
		length = round.due - round.begin;
		round.due += round.frames > 1 ? length / (round.frames - 1) : LONE_PAUSE;
		round.begin = round.due;
	}
	pthread_mutex_lock(&replay->lock);
	replay->ended = true;
	pthread_mutex_unlock(&replay->lock);
	eventfd_write(replay->wake.fd, 1);
	return NULL;
}

static int open_replay(struct attachment *attachment, struct error *error)
{
	struct replay *replay = replay_of(attachment);
	int result;

	pthread_mutex_init(&replay->lock, NULL);
	pthread_cond_init(&replay->room, NULL);
	STAILQ_INIT(&replay->queue);
	replay->wake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (replay->wake.fd < 0)
		return error_set(error, ERROR_FAILED, errno, "no eventfd: %s", strerror(errno));
	result = thread_start(&replay->thread, "netlab-replay", read_ahead, replay);
	if (result < 0)
		return error_set(error, ERROR_FAILED, -result, "cannot start a thread: %s", strerror(-result));
	replay->has_thread = true;
	return 0;
}

static void close_replay(struct attachment *attachment)
{
	struct replay *replay = replay_of(attachment);
	struct record *record;

	pthread_mutex_lock(&replay->lock);
	replay->stopping = true;
	pthread_cond_signal(&replay->room);
	pthread_mutex_unlock(&replay->lock);
	if (replay->has_thread)
		pthread_join(replay->thread, NULL);
	while ((record = STAILQ_FIRST(&replay->queue))) {
		STAILQ_REMOVE_HEAD(&replay->queue, next);
		free(record);
	}
	if (replay->wake.fd >= 0)
		close(replay->wake.fd);
	pthread_cond_destroy(&replay->room);
	pthread_mutex_destroy(&replay->lock);
}

/* The data plane. */

/* When, by loop_now(), a frame that is due at that time of the capture is. */
static uint64_t deadline_of(const struct replay *replay, uint64_t due)
{
	const unsigned int speed = replay->base.topology->speed;

	return speed == 0 ? replay->begin : replay->begin + due / speed * 1000 + due % speed * 1000 / speed;
}

/* Takes the next record from the queue if it is due now.  Otherwise returns NULL, with '*deadline' set if there is one
 * at all. */
static struct record *take_due(struct replay *replay, uint64_t now, uint64_t *deadline)
{
	struct record *record;

	pthread_mutex_lock(&replay->lock);
	record = STAILQ_FIRST(&replay->queue);
	if (record) {
		*deadline = deadline_of(replay, record->due);
		if (*deadline > now) {
			record = NULL;
		} else {
			STAILQ_REMOVE_HEAD(&replay->queue, next);
			replay->queued -= record->size + sizeof(*record);
			pthread_cond_signal(&replay->room);
		}
	}
	pthread_mutex_unlock(&replay->lock);
	return record;
}

static void send_record(struct replay *replay, const struct record *record)
{
	if (record->size > FRAME_SIZE_MAX)
		attachment_refuse(&replay->base, record->bytes, record->size);
	else
		attachment_transmit(&replay->base, record->bytes, record->size);
	replay->sent++;
}

/* loop_function: sends what is due. */
static void run(void *opaque)
{
	struct replay *replay = opaque;
	struct loop *loop = replay->base.loop;
	uint64_t now = loop_now(), deadline = 0;
	struct record *record;

	for (unsigned int i = 0; i < ATTACHMENT_BATCH; i++) {
		record = take_due(replay, now, &deadline);
		if (!record) {
			if (deadline > now) /* Else there is none, and the thread will tell. */
				loop_timer_set(loop, &replay->timer, deadline);
			return;
		}
		send_record(replay, record);
		free(record);
	}
	loop_task_queue(loop, &replay->task);
}

static void on_wake(void *opaque, uint32_t events)
{
	struct replay *replay = opaque;
	eventfd_t count;

	(void)events;
	eventfd_read(replay->wake.fd, &count);
	if (replay->started)
		run(replay);
}

/* It is for nobody. */
static enum port_result deliver(void *opaque, const struct frame *frame)
{
	(void)opaque;
	(void)frame;
	return PORT_DELIVERED;
}

static const struct port_ops port_ops = {.deliver = deliver};

static int plug(struct attachment *attachment)
{
	struct replay *replay = replay_of(attachment);

	replay->wake.ready = on_wake;
	replay->wake.opaque = replay;
	replay->timer = (struct loop_timer){.function = run, .opaque = replay};
	replay->task = (struct loop_task){.function = run, .opaque = replay};
	port_plug(attachment->port, &port_ops, replay);
	return loop_watch_add(attachment->loop, &replay->wake, EPOLLIN);
}

static void unplug(struct attachment *attachment)
{
	struct replay *replay = replay_of(attachment);

	loop_watch_remove(attachment->loop, &replay->wake);
	loop_timer_cancel(attachment->loop, &replay->timer);
	loop_task_cancel(attachment->loop, &replay->task);
}

static void start(struct attachment *attachment)
{
	struct replay *replay = replay_of(attachment);

	replay->started = true;
	replay->begin = loop_now() + attachment->topology->delay;
	loop_timer_set(attachment->loop, &replay->timer, replay->begin);
}

static void describe(const struct attachment *attachment, struct attachment_status *status)
{
	struct replay *replay = replay_of((struct attachment *)(uintptr_t)attachment);
	bool is_done;
	int length;

	pthread_mutex_lock(&replay->lock);
	is_done = replay->ended && STAILQ_EMPTY(&replay->queue);
	status->state = is_done && replay->failure[0] ? "failed" :
			is_done                       ? "done" :
			replay->started               ? "replaying" :
							"waiting";
	length = snprintf(status->detail, sizeof(status->detail), "%llu", (unsigned long long)replay->sent);
	if (replay->total > 0)
		length += snprintf(status->detail + length, sizeof(status->detail) - (size_t)length, "/%llu",
				   (unsigned long long)replay->total);
	if (is_done && replay->failure[0])
		snprintf(status->detail + length, sizeof(status->detail) - (size_t)length, ": %.200s", replay->failure);
	pthread_mutex_unlock(&replay->lock);
}

const struct attachment_ops attachment_replay_ops = {
	.size = sizeof(struct replay),
	.open = open_replay,
	.close = close_replay,
	.plug = plug,
	.unplug = unplug,
	.start = start,
	.describe = describe,
};
