/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a client can say to netlabd: lines, requests, and streams in any order.
 *
 * The input is a list of lines for the control server.  Between two lines the stand-in lab lets its guests do
 * something, as the line's length says, so that streams meet output, ends and lost guests at odd times. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "netlab/control.h"
#include "netlab/control_internal.h"
#include "tests/unit/standin_lab.h"

#define INPUT_MAX 65536 /* Bytes of one run, so that each is short. */
#define CHANNELS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_stop(void *opaque)
{
	(void)opaque;
}

static void stop_loop(void *opaque)
{
	loop_stop(opaque);
}

static void turn(struct loop *loop)
{
	loop_post(loop, stop_loop, loop);
	loop_run(loop);
}

/* Something happens to the lab. */
static void act_on_lab(struct lab *lab, size_t choice)
{
	lab->plan_error.class = choice % 4 == 1 ? ERROR_USAGE : ERROR_NONE;
	lab->converge_result = choice % 5 == 1 ? -EINVAL : 0;
	if (choice % 3 == 0)
		standin_converged(lab);
	if (lab->done && !strncmp(lab->task, "flap", 4) && choice % 4 < 2)
		lab->flapped(lab->done_opaque, choice % 4, (uint32_t)choice);
	if (lab->done && choice % 6 == 0)
		standin_finish(lab, choice % 12 ? "" : "it was given up");
	if (choice % 11 == 0)
		lab->listener->removed(lab->listener->opaque, &lab->nodes[1]);
}

/* Something happens in a guest. */
static void act(struct lab *lab, size_t choice)
{
	static const uint8_t text[] = "some text\xff\x1b[m\n";
	struct agent_channel *channel = lab->channels;
	unsigned int count = 0;

	for (struct agent_channel *each = channel; each; each = each->next)
		count++;
	while (channel && channel->abandoned)
		channel = channel->next;
	if (!channel)
		return;
	if (count > CHANNELS_MAX || choice % 7 == 0)
		standin_end(lab, channel, choice % 2 ? AGENT_LOST : (int)(choice % 256), choice % 3 ? 0 : 9);
	else if (choice % 7 == 1)
		channel->ops->output(channel->opaque, choice % 2, text, choice % sizeof(text));
	else if (choice % 7 == 2)
		channel->ops->writable(channel->opaque);
	else if (choice % 7 == 3)
		channel->ops->file_mode(channel->opaque, (unsigned int)choice);
	else if (choice % 7 == 4)
		lab->listener->changed(lab->listener->opaque, &lab->nodes[choice / 7 % 2]);
	else if (choice % 7 == 5)
		lab->listener->console(lab->listener->opaque, &lab->nodes[0], text, choice % sizeof(text));
	else
		lab->listener->logged(lab->listener->opaque, &lab->nodes[0], "x", 1);
}

static void drop_abandoned(struct lab *lab)
{
	for (struct agent_channel *channel = lab->channels, *next; channel; channel = next) {
		next = channel->next;
		if (channel->abandoned)
			standin_forget(lab, channel);
	}
}

static void read_all(int fd)
{
	char buffer[65536];

	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

static void play(struct loop *loop, struct lab *lab, int fd, const uint8_t *data, size_t size)
{
	while (size) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t length = end ? (size_t)(end - data) + 1 : size;

		if (send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		turn(loop);
		turn(loop);
		act(lab, length);
		act_on_lab(lab, length);
		drop_abandoned(lab);
		if (length % 5)
			read_all(fd);
		data += length;
		size -= length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_options options = {.stop = on_stop};
	struct error error;
	struct loop *loop;
	struct control *control;
	struct lab lab;
	int fds[2];

	if (size == 0 || size > INPUT_MAX)
		return 0;
	standin_create(&lab, "/dev/null");
	lab.input_limit = data[0] % 2 ? 3 : SIZE_MAX;
	loop = loop_create(&error);
	control = loop ? control_create(loop, &lab, &options, &error) : NULL;
	if (!control || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	    control_add_client(control, fds[1]) < 0)
		abort();
	play(loop, &lab, fds[0], data + 1, size - 1);
	if (data[0] % 4 < 2)
		control_stopped(control);
	close(fds[0]);
	turn(loop);
	control_destroy(control);
	standin_destroy(&lab);
	loop_destroy(loop);
	return 0;
}
