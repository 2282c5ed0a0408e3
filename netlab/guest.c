/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/uart.h"
#include "devices/virtio_balloon.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "devices/virtio_rng.h"
#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "netlab/image.h"
#include "netlab/template.h"

static void on_uart_output(void *opaque, const char *data, size_t size, size_t lost)
{
	struct guest *guest = opaque;
	char line[64];
	int length;

	guest->ops->logged(guest->opaque, data, size);
	if (lost == 0)
		return;
	length = snprintf(line, sizeof(line), "\n[netlab: %zu bytes lost]\n", lost);
	guest->ops->logged(guest->opaque, line, (size_t)length);
}

static const struct uart_ops uart_ops = {.output = on_uart_output};

static void on_console_output(void *opaque, enum virtio_console_port port, const uint8_t *data, size_t size)
{
	struct guest *guest = opaque;

	if (port == VIRTIO_CONSOLE_STREAM)
		agent_receive(guest->agent, data, size);
	else
		guest->ops->console(guest->opaque, data, size);
}

static void on_console_writable(void *opaque, enum virtio_console_port port)
{
	struct guest *guest = opaque;

	if (port == VIRTIO_CONSOLE_STREAM)
		agent_resume(guest->agent);
}

static void on_console_opened(void *opaque, enum virtio_console_port port, bool open)
{
	struct guest *guest = opaque;

	if (port == VIRTIO_CONSOLE_STREAM)
		agent_opened(guest->agent, open);
}

static const struct virtio_console_ops console_ops = {.output = on_console_output,
						      .writable = on_console_writable,
						      .opened = on_console_opened};

static size_t agent_send(void *opaque, const uint8_t *data, size_t size)
{
	struct guest *guest = opaque;

	return guest->console ? virtio_console_write(guest->console, VIRTIO_CONSOLE_STREAM, data, size) : 0;
}

static void on_greeted(void *opaque)
{
	struct guest *guest = opaque;

	guest->ops->greeted(guest->opaque);
}

static void on_agent_lost(void *opaque, const char *reason)
{
	struct guest *guest = opaque;

	guest->ops->lost(guest->opaque, reason);
}

static void on_ended(void *opaque, enum machine_end end, const char *reason)
{
	struct guest *guest = opaque;

	guest->ops->ended(guest->opaque, end, reason);
}

static const struct machine_ops machine_ops = {.ended = on_ended};

void guest_cmdline(const struct guest_options *options, char text[GUEST_CMDLINE_MAX])
{
	snprintf(text, GUEST_CMDLINE_MAX, "%s%s%s", options->image->cmdline, options->cmdline ? " " : "",
		 options->cmdline ? options->cmdline : "");
}

static struct machine_options describe_machine(const struct guest *guest, const char *cmdline)
{
	const struct guest_options *options = &guest->options;

	return (struct machine_options){
		.name = options->name,
		.memory = options->memory,
		.cpus = options->cpus,
		.kernel = options->image->kernel,
		.initramfs = (const char *const *)options->image->initramfs,
		.initramfs_count = options->image->initramfs_count,
		.cmdline = cmdline,
		.memory_fd = options->template ? template_memory(options->template) : options->memory_fd,
	};
}

static int create_devices(struct guest *guest, struct error *error)
{
	struct loop *loop = guest->options.control;
	const struct virtio_console_options console = {.slot = GUEST_SLOT_CONSOLE,
						       .stream_name = AGENT_PORT_NAME,
						       .ops = &console_ops,
						       .opaque = guest};

	if (uart_create(guest->machine, &uart_ops, guest, error) < 0)
		return -EIO;
	guest->console = virtio_console_create(guest->machine, loop, &console, error);
	if (!guest->console)
		return -EIO;
	guest->rng = virtio_rng_create(guest->machine, loop, GUEST_SLOT_RNG, error);
	if (!guest->rng)
		return -EIO;
	guest->balloon = virtio_balloon_create(guest->machine, loop, GUEST_SLOT_BALLOON, error);
	if (!guest->balloon)
		return -EIO;
	if (!guest->options.image->disk)
		return 0;
	guest->disk = virtio_blk_create(guest->machine, loop, GUEST_SLOT_DISK, guest->options.image->disk, error);
	return guest->disk ? 0 : -EIO;
}

struct guest *guest_create(const struct guest_options *options, const struct guest_ops *ops, void *opaque,
			   struct error *error)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	const struct agent_transport transport = {.send = agent_send,
						  .greeted = on_greeted,
						  .lost = on_agent_lost,
						  .opaque = guest};
	struct machine_options machine;

	if (!guest) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	guest->options = *options;
	guest->ops = ops;
	guest->opaque = opaque;
	guest->agent = agent_create(&transport);
	machine = describe_machine(guest, NULL);
	guest->machine = machine_create(options->kvm_fd, options->host, &machine, options->control, &machine_ops, guest,
					error);
	if (!guest->agent)
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (!guest->agent || !guest->machine || create_devices(guest, error) < 0) {
		guest_destroy(guest);
		return NULL;
	}
	return guest;
}

int guest_start(struct guest *guest, struct error *error)
{
	char cmdline[GUEST_CMDLINE_MAX];
	struct machine_options machine;

	if (guest->options.template)
		return template_start(guest->options.template, guest, error);
	guest_cmdline(&guest->options, cmdline);
	machine = describe_machine(guest, cmdline);
	return machine_start(guest->machine, &machine, error);
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	machine_destroy(guest->machine);
	agent_destroy(guest->agent);
	free(guest);
}
