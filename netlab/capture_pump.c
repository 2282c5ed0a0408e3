/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_pump.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netlab/pcapng_blocks.h"

#define BUFFER_SIZE (1u << 20)
/* Section, names and interfaces of the largest lab are some megabytes. */
#define HEADER_SIZE_MAX (64u << 20)

/* Whether it goes on, and why not. */
enum pump_state {
	PUMP_RUNS,
	PUMP_IS_STOPPING,  /* netlabd has been told. */
	PUMP_HAS_ALL,      /* No more is wanted; what is pending is written. */
	PUMP_IS_AT_END,    /* No more comes; the same. */
	PUMP_IS_CUT_SHORT, /* No more comes, and the last block is not whole. */
	PUMP_IS_ABANDONED,
};

struct pump {
	struct capture_pump *public;
	struct error *error;
	enum pump_state state;
	int64_t deadline; /* Milliseconds of CLOCK_MONOTONIC; 0: none. */
	int signals;      /* A signalfd(2). */

	/* What was received: [start, walked) is to be written, [walked, end) is no whole block yet, or one for the
	 * next file. */
	uint8_t *bytes;
	size_t capacity, start, walked, end;

	uint8_t *header; /* What each file begins with. */
	size_t header_size;
	struct pcapng_blocks seen; /* All that was walked over. */
	uint64_t file_frames;      /* Of the file that is open. */
	bool rotates;              /* The next block belongs into another file. */
};

static int64_t milliseconds_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Asks netlabd to send what was captured so far, and end, unless no more is wanted or no more comes. */
static void stop(struct pump *pump)
{
	pump->deadline = 0;
	if (pump->state != PUMP_RUNS)
		return;
	pump->state = PUMP_IS_STOPPING;
	shutdown(pump->public->source, SHUT_WR);
}

static int keep_header(struct pump *pump, const uint8_t *block, size_t size)
{
	uint32_t type = pcapng_block_type(block);
	uint8_t *header;

	if (type != PCAPNG_BLOCK_SECTION && type != PCAPNG_BLOCK_INTERFACE && type != PCAPNG_BLOCK_NAMES)
		return 0;
	if (type == PCAPNG_BLOCK_SECTION)
		pump->header_size = 0; /* What comes is numbered afresh. */
	header = pump->header_size + size <= HEADER_SIZE_MAX ? realloc(pump->header, pump->header_size + size) : NULL;
	if (!header)
		return error_set(pump->error, ERROR_FAILED, ENOMEM,
				 "the capture has more names and interfaces than fit");
	memcpy(header + pump->header_size, block, size);
	pump->header = header;
	pump->header_size += size;
	return 0;
}

/* Takes one whole block for this file. */
static int take_block(struct pump *pump, const uint8_t *block, size_t size)
{
	pcapng_blocks_add(&pump->seen, block, size);
	pump->file_frames += pcapng_block_type(block) == PCAPNG_BLOCK_PACKET;
	if (pump->public->frames_max && pump->seen.frames == pump->public->frames_max)
		pump->state = PUMP_HAS_ALL;
	pump->walked += size;
	return keep_header(pump, block, size);
}

/* Goes over the whole blocks that have come, up to one that belongs into another file. */
static int walk(struct pump *pump)
{
	int result = 0;

	while (result == 0 && pump->state != PUMP_HAS_ALL) {
		const uint8_t *block = pump->bytes + pump->walked;
		ssize_t size = pcapng_block_size(block, pump->end - pump->walked);

		if (size < 0)
			return error_set(pump->error, ERROR_FAILED, EPROTO,
					 "what netlabd sends is no capture; is it of another version?");
		if (!size || (size_t)size > pump->end - pump->walked)
			break;
		pump->rotates = pump->file_frames && pcapng_block_type(block) == PCAPNG_BLOCK_PACKET &&
				capture_output_is_full(pump->public->output, pump->walked - pump->start, (size_t)size);
		if (pump->rotates)
			break;
		result = take_block(pump, block, (size_t)size);
	}
	return result;
}

/* The output cannot take what is left: has a file end with a whole block, and counts what it has. */
static int fail_to_write(struct pump *pump, int result, size_t begun)
{
	const struct capture_output *output = pump->public->output;
	struct pcapng_blocks written, left;

	if (result == -EPIPE)
		return result;
	written = pcapng_blocks_count(pump->bytes + begun, pump->start - begun);
	capture_output_cut(pump->public->output, pump->start - begun - written.size);
	left = pcapng_blocks_count(pump->bytes + begun + written.size, pump->walked - begun - written.size);
	pump->seen.frames -= left.frames;
	pump->seen.lost -= left.lost;
	pump->seen.lost_of_totals -= left.lost_of_totals;
	return error_set(pump->error, ERROR_FAILED, -result, "%s: %s; it has the capture up to there, %llu frame%s",
			 output->path, strerror(-result), (unsigned long long)pump->seen.frames,
			 pump->seen.frames == 1 ? "" : "s");
}

/* Writes what can be written now. */
static int flush(struct pump *pump)
{
	size_t begun = pump->start;
	ssize_t result = 0;

	while (pump->start < pump->walked && result >= 0) {
		result = capture_output_write(pump->public->output, pump->bytes + pump->start,
					      pump->walked - pump->start);
		if (result > 0)
			pump->start += (size_t)result;
	}
	return result >= 0 || result == -EAGAIN ? 0 : fail_to_write(pump, (int)result, begun);
}

/* Begins another file, with the blocks a reader needs first. */
static int rotate(struct pump *pump)
{
	struct capture_output *output = pump->public->output;
	int result = capture_output_rotate(output, pump->error);
	size_t done = 0;

	while (result == 0 && done < pump->header_size) {
		ssize_t written = capture_output_write(output, pump->header + done, pump->header_size - done);

		if (written > 0)
			done += (size_t)written;
		else
			result = error_set(pump->error, ERROR_FAILED, (int)-written, "%s: %s", output->path,
					   strerror((int)-written));
	}
	if (result < 0)
		capture_output_cut(output, done);
	pump->rotates = false;
	pump->file_frames = 0;
	return result;
}

static int make_room(struct pump *pump)
{
	uint8_t *bytes;

	memmove(pump->bytes, pump->bytes + pump->start, pump->end - pump->start);
	pump->end -= pump->start;
	pump->walked -= pump->start;
	pump->start = 0;
	if (pump->end < pump->capacity)
		return 0;
	bytes = realloc(pump->bytes, 2 * pump->capacity); /* Bounded by the longest block there may be. */
	if (!bytes)
		return error_set(pump->error, ERROR_FAILED, ENOMEM, "there is no memory for a block of the capture");
	pump->bytes = bytes;
	pump->capacity *= 2;
	return 0;
}

static int receive(struct pump *pump)
{
	ssize_t received = make_room(pump);

	if (received < 0)
		return (int)received;
	received = recv(pump->public->source, pump->bytes + pump->end, pump->capacity - pump->end, MSG_DONTWAIT);
	if (received < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (received > 0)
		pump->end += (size_t)received;
	else
		pump->state = received == 0 && pump->end == pump->walked ? PUMP_IS_AT_END : PUMP_IS_CUT_SHORT;
	return 0;
}

static void take_signal(struct pump *pump)
{
	struct signalfd_siginfo info;

	if (read(pump->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (pump->state == PUMP_RUNS)
		stop(pump);
	else
		pump->state = PUMP_IS_ABANDONED;
}

/* Milliseconds to wait at most. */
static int patience(const struct pump *pump)
{
	int64_t left = pump->deadline - milliseconds_now();

	if (!pump->deadline)
		return -1;
	return left <= 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

/* Waits for something to do, and does it; nothing is read while something is to be written. */
static int turn(struct pump *pump)
{
	const struct capture_output *output = pump->public->output;
	bool is_pending = pump->start < pump->walked;
	struct pollfd fds[] = {
		{.fd = pump->signals, .events = POLLIN},
		{.fd = output->is_file ? -1 : output->fd, .events = is_pending ? POLLOUT : 0},
		{.fd = is_pending ? -1 : pump->public->source, .events = POLLIN},
	};

	if (poll(fds, 3, patience(pump)) < 0)
		return errno == EINTR ? 0 : error_set(pump->error, ERROR_FAILED, errno, "poll: %s", strerror(errno));
	if (pump->deadline && milliseconds_now() >= pump->deadline)
		stop(pump);
	if (fds[0].revents)
		take_signal(pump);
	if (!is_pending && (fds[1].revents & (POLLERR | POLLHUP)))
		return -EPIPE;
	return fds[2].revents ? receive(pump) : 0;
}

/* Passes on what has come, as far as the output takes it. */
static int pass_on(struct pump *pump)
{
	bool is_done = false;
	int walked, result;

	do {
		walked = walk(pump);
		result = flush(pump);
		if (result == 0)
			result = walked;
		is_done = result < 0 || !pump->rotates;
		if (!is_done)
			result = rotate(pump);
	} while (!is_done && result == 0);
	return result;
}

static bool is_over(const struct pump *pump)
{
	return pump->state == PUMP_IS_ABANDONED || (pump->state >= PUMP_HAS_ALL && pump->start == pump->walked);
}

static int run(struct pump *pump)
{
	int result;

	do {
		result = turn(pump);
		if (result == 0)
			result = pass_on(pump);
	} while (result == 0 && !is_over(pump));
	if (result < 0)
		return result;
	if (pump->state == PUMP_IS_CUT_SHORT)
		return error_set(pump->error, ERROR_FAILED, EPROTO,
				 "netlabd ended the connection in the middle of a frame; the capture ends before that, "
				 "with %llu frame%s",
				 (unsigned long long)pump->seen.frames, pump->seen.frames == 1 ? "" : "s");
	return 0;
}

/* Has signals stop the pump rather than end the process. */
static int take_signals(struct pump *pump, sigset_t *before)
{
	sigset_t mask;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, before);
	pump->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (pump->signals >= 0)
		return 0;
	return error_set(pump->error, ERROR_FAILED, errno, "cannot wait for signals: %s", strerror(errno));
}

int capture_pump_run(struct capture_pump *public, struct error *error)
{
	struct pump pump = {.public = public, .error = error, .capacity = BUFFER_SIZE};
	sigset_t before;
	int result;

	pump.bytes = malloc(pump.capacity);
	if (!pump.bytes)
		return error_set(error, ERROR_FAILED, ENOMEM, "there is no memory for the capture");
	if (public->milliseconds)
		pump.deadline = milliseconds_now() + public->milliseconds;
	result = take_signals(&pump, &before);
	if (result == 0) {
		result = run(&pump);
		close(pump.signals);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	public->frames = pump.seen.frames;
	public->lost = pcapng_blocks_lost(&pump.seen);
	free(pump.bytes);
	free(pump.header);
	return result;
}
