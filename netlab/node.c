/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/loop.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "netlab/agent.h"
#include "netlab/dataplane.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/node_log.h"
#include "netlab/node_setup.h"
#include "netlab/node_shape.h"
#include "netlab/template.h"

/* What is in a node's log between its machines. */
#define STARTS_ANEW "[netlab: starts anew]\n"
#define CRASHED "[netlab: crashed: "
/* Bytes of the log's end in which a panic's line is looked for: it is followed by registers and a stack, if at all. */
#define LOG_TAIL_MAX 8192

const char *node_state_name(enum node_state state)
{
	static const char *const names[] = {
		[NODE_CREATED] = "created", [NODE_BOOTING] = "booting", [NODE_CONFIGURING] = "configuring",
		[NODE_READY] = "ready",     [NODE_PAUSED] = "paused",   [NODE_STOPPED] = "stopped",
		[NODE_CRASHED] = "crashed",
	};

	return names[state];
}

static double wall_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* One that was ready and is set up further was so as early as before. */
static bool keeps_time(const struct node *node, enum node_state state)
{
	return node->was_ready && (state == NODE_CONFIGURING || state == NODE_READY);
}

static double seconds_since_start(const struct node *node)
{
	return node->started ? (double)(loop_now() - node->started) / 1e9 : 0;
}

void node_set_state(struct node *node, enum node_state state)
{
	node->state = state;
	node->since = wall_time();
	if (!keeps_time(node, state))
		node->seconds = seconds_since_start(node);
	lab_node_changed(node->lab, node);
}

/* What a node has become, though it be paused. */
static void become(struct node *node, enum node_state state)
{
	if (node->state != NODE_PAUSED) {
		node_set_state(node, state);
		return;
	}
	node->paused_from = state;
	if (!keeps_time(node, state))
		node->paused_seconds = seconds_since_start(node);
	lab_node_changed(node->lab, node);
}

__attribute__((format(printf, 2, 3))) static void say(struct node *node, const char *format, ...)
{
	char line[700];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	lab_node_logged(node->lab, node, line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

/* NICs: the data plane's thread. */

static void on_transmit(void *opaque, const struct frame *frame)
{
	struct node_interface *interface = opaque;

	port_transmit(interface->port, frame);
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size)
{
	struct node_interface *interface = opaque;

	(void)reason;
	port_refused(interface->port, frame, size);
}

static const struct virtio_net_ops net_ops = {.transmit = on_transmit, .refused = on_refused};

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	const struct node_interface *interface = opaque;

	switch (virtio_net_receive(interface->net, frame)) {
	case VIRTIO_NET_DELIVERED:
		return PORT_DELIVERED;
	case VIRTIO_NET_FILTERED:
		return PORT_FILTERED;
	case VIRTIO_NET_RING_FULL:
		return PORT_RING_FULL;
	case VIRTIO_NET_TOO_LONG:
		return PORT_TOO_LONG;
	case VIRTIO_NET_MTU:
		return PORT_MTU;
	default:
		return PORT_NOT_READY;
	}
}

static bool takes(void *opaque, const struct frame *frame)
{
	const struct node_interface *interface = opaque;

	return virtio_net_takes(interface->net, frame);
}

static void flush(void *opaque)
{
	const struct node_interface *interface = opaque;

	virtio_net_flush(interface->net);
}

static uint32_t limit(void *opaque, enum port_result result)
{
	const struct node_interface *interface = opaque;

	if (result == PORT_MTU)
		return interface->topology->mtu;
	return result == PORT_RING_FULL ? virtio_net_receive_ring_size(interface->net) : 0;
}

static void set_carrier(void *opaque, bool is_up)
{
	const struct node_interface *interface = opaque;

	virtio_net_set_link(interface->net, is_up);
}

static const struct port_ops port_ops = {.deliver = deliver,
					 .takes = takes,
					 .flush = flush,
					 .limit = limit,
					 .set_carrier = set_carrier};

/* loop_function: plugs the NICs of a new machine in. */
static void plug(void *opaque)
{
	struct node *node = opaque;

	for (size_t i = 0; i < node->topology->interface_count; i++) {
		struct node_interface *interface = &node->interfaces[i];

		port_plug(interface->port, &port_ops, interface);
	}
}

/* loop_function: in the data plane's thread, so that no frame is on its way into a NIC that goes. */
static void unplug(void *opaque)
{
	struct node *node = opaque;

	for (size_t i = 0; i < node->topology->interface_count; i++) {
		port_plug(node->interfaces[i].port, NULL, NULL);
		node->interfaces[i].net = NULL;
	}
}

void node_look_at_rings(struct node *node)
{
	for (size_t i = 0; i < node->topology->interface_count; i++) {
		struct node_interface *interface = &node->interfaces[i];

		interface->has_ring = interface->net &&
				      virtio_net_receive_ring_free(interface->net, &interface->ring_free);
		if (interface->has_ring)
			interface->ring_size = virtio_net_receive_ring_size(interface->net);
	}
}

static void call_dataplane(struct node *node, loop_function *function)
{
	loop_call(dataplane_loop(lab_context(node->lab)->dataplane), function, node);
}

/* The guest. */

static void on_console(void *opaque, const uint8_t *data, size_t size)
{
	struct node *node = opaque;

	for (size_t i = 0; i < size; i++)
		node->history[node->history_end++ % NODE_HISTORY_SIZE] = data[i];
	lab_node_console(node->lab, node, data, size);
}

static void on_logged(void *opaque, const char *text, size_t size)
{
	struct node *node = opaque;

	lab_node_logged(node->lab, node, text, size);
}

/* Once more does no harm. */
static void start_console(struct node *node)
{
	if (node->console_wanted && agent_greeting_value(node->guest->agent, "init") > 0)
		agent_configure(node->guest->agent, "console\n", NULL, NULL);
}

void node_console_attach(struct node *node)
{
	if (node->console_wanted)
		return;
	node->console_wanted = true;
	if (node->state == NODE_CONFIGURING || node->state == NODE_READY)
		start_console(node);
}

static void on_greeted(void *opaque)
{
	struct node *node = opaque;

	/* A clone does not greet by itself: it is heard of first when it has done something it was asked. */
	if (!node->is_clone)
		node->greeted = true;
	if ((node->state == NODE_PAUSED ? node->paused_from : node->state) != NODE_BOOTING)
		return; /* The agent was restarted in a guest that is set up. */
	become(node, NODE_CONFIGURING);
	node_setup_start(node);
	start_console(node); /* Which comes after what was just sent: the node has its name. */
}

static void on_agent_lost(void *opaque, const char *reason)
{
	struct node *node = opaque;

	if (reason[0])
		say(node, "[netlab: %s]\n", reason);
	if (node->setup) {
		node_setup_destroy(node->setup);
		node->setup = NULL;
		become(node, NODE_BOOTING);
	}
}

void node_has_network(struct node *node)
{
	node->has_network = true;
	lab_node_has_network(node->lab);
}

void node_setup_done(struct node *node, const char *failure)
{
	/* What failed when it was set up first has still failed when more of it was set up. */
	if (failure[0] || !node->was_ready)
		snprintf(node->reason, sizeof(node->reason), "%s", failure);
	node_setup_destroy(node->setup);
	node->setup = NULL;
	become(node, NODE_READY);
	node->was_ready = true;
}

void node_set_up_more(struct node *node, char *lines)
{
	node_set_state(node, NODE_CONFIGURING);
	node_setup_start_more(node, lines);
}

/* The guest's end. */

void node_release_guest(struct node *node)
{
	if (!node->guest)
		return;
	if (node->freezing)
		lab_node_frozen(node->lab);
	node->freezing = node->frozen = false;
	node_setup_destroy(node->setup);
	node->setup = NULL;
	call_dataplane(node, unplug);
	guest_destroy(node->guest);
	node->guest = NULL;
}

static void say_registers(struct node *node)
{
	const struct kvm_regs *general = &node->registers.general;
	const struct kvm_sregs *special = &node->registers.special;

	say(node,
	    "[netlab: rip %016llx rsp %016llx rflags %08llx\n"
	    "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
	    "  rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n"
	    "  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx cs %04x cpl %u]\n",
	    general->rip, general->rsp, general->rflags, general->rax, general->rbx, general->rcx, general->rdx,
	    general->rsi, general->rdi, general->rbp, general->r8, special->cr0, special->cr2, special->cr3,
	    special->cr4, special->cs.selector, special->cs.selector & 3u);
}

static void keep_registers(struct node *node)
{
	const struct vcpu_registers *registers = machine_crash_registers(node->guest->machine);

	node->has_registers = registers != NULL;
	if (!registers)
		return;
	node->registers = *registers;
	say_registers(node);
}

static void crashed(struct node *node, const char *reason)
{
	snprintf(node->reason, sizeof(node->reason), "%s", reason);
	say(node, CRASHED "%s]\n", reason);
	keep_registers(node);
}

void node_fail(struct node *node, const char *reason)
{
	node_release_guest(node);
	snprintf(node->reason, sizeof(node->reason), "%s", reason);
	node_set_state(node, NODE_CRASHED);
}

/* Replaces the machine.  Failure is a crash, with its reason. */
static void start_anew(struct node *node)
{
	struct error error = {.class = ERROR_NONE};

	node_release_guest(node);
	say(node, STARTS_ANEW);
	if (node_start(node, lab_node_template(node->lab, node), &error) < 0)
		node_fail(node, error.text);
}

/* The node boots after this, and so do those after it. */
static void drop_template(struct node *node, const char *why)
{
	say(node, "[netlab: it boots, since its template is of no use: %s]\n", why);
	lab_drop_template(node->lab, node);
}

/* Whether a guest that reset had panicked, as its log says; sets 'reason'.  A kernel that panics resets its machine at
 * once, or some time after, as one does that is told to reboot. */
static bool has_panicked(const struct node *node, char *reason, size_t size)
{
	static const char words[] = "Kernel panic - not syncing: ";
	char tail[LOG_TAIL_MAX + 1];
	size_t length = node_log_tail(node->log, tail, LOG_TAIL_MAX);
	const char *start = NULL;

	for (size_t i = 0; i < length; i++)
		if (tail[i] != '\n' && (tail[i] < ' ' || tail[i] > '~'))
			tail[i] = tail[i] == '\r' ? '\n' : '?';
	tail[length] = '\0';
	for (const char *next = tail; (next = strstr(next, words));)
		start = next += strlen(words);
	/* That of an earlier machine was told of. */
	if (!start || strstr(start, CRASHED) || strstr(start, STARTS_ANEW))
		return false;
	snprintf(reason, size, "kernel panic: %.*s", (int)strcspn(start, "\n"), start);
	return true;
}

static void on_ended(void *opaque, enum machine_end end, const char *reason)
{
	struct node *node = opaque;
	bool is_wanted = !lab_is_stopping(node->lab) && !node->held;
	char text[600] = "";
	bool panicked = end == MACHINE_RESET && has_panicked(node, text, sizeof(text));
	bool reset = end == MACHINE_RESET && node->greeted && !panicked;

	if (is_wanted && (node->restart_wanted || reset)) {
		node->restart_wanted = false;
		start_anew(node);
		return;
	}
	if (is_wanted && node->is_clone && !node->greeted && (end == MACHINE_RESET || end == MACHINE_CRASHED)) {
		drop_template(node, reason[0] ? reason : "the guest reset before it did anything");
		start_anew(node);
		return;
	}
	node->restart_wanted = false;
	node->reason[0] = '\0';
	if (end == MACHINE_CRASHED) {
		crashed(node, reason);
	} else if (panicked && is_wanted) {
		crashed(node, text);
	} else if (end == MACHINE_RESET && is_wanted) {
		snprintf(text, sizeof(text), "the guest reset before its agent greeted%s%s", reason[0] ? ": " : "",
			 reason);
		crashed(node, text);
	} else if (end == MACHINE_POWERED_OFF) {
		snprintf(node->reason, sizeof(node->reason), "powered off by the guest");
	}
	node_release_guest(node);
	node_set_state(node, node->reason[0] && end != MACHINE_POWERED_OFF ? NODE_CRASHED : NODE_STOPPED);
	lab_guest_ended(node->lab);
}

static const struct guest_ops guest_ops = {.logged = on_logged,
					   .console = on_console,
					   .greeted = on_greeted,
					   .lost = on_agent_lost,
					   .ended = on_ended};

/* Building. */

static int create_nics(struct node *node, struct error *error)
{
	struct loop *loop = dataplane_loop(lab_context(node->lab)->dataplane);

	for (size_t i = 0; i < node->topology->interface_count; i++) {
		struct node_interface *interface = &node->interfaces[i];
		struct virtio_net_options options = {
			.mtu = (uint16_t)interface->topology->mtu,
			.has_offload = interface->topology->has_offload,
			.slot = GUEST_SLOT_FIRST_NIC + (unsigned int)i,
			.name = interface->port_name,
			.ops = &net_ops,
			.opaque = interface,
		};

		memcpy(options.mac, interface->topology->mac, sizeof(options.mac));
		interface->net = virtio_net_create(node->guest->machine, loop, &options, error);
		if (!interface->net)
			return -EIO;
	}
	return 0;
}

/* How many NICs its template should have found: all or, where that could not set the MTU, none. */
static unsigned int count_template_nics(const struct node *node)
{
	for (size_t i = 0; i < node->topology->interface_count; i++) {
		if (node->topology->interfaces[i].mtu != TEMPLATE_MTU)
			return 0;
	}
	return (unsigned int)node->topology->interface_count;
}

/* Those of so many that offer offloads. */
static uint32_t find_offload_nics(const struct node *node, unsigned int count)
{
	uint32_t found = 0;

	for (unsigned int i = 0; i < count; i++)
		found |= node->topology->interfaces[i].has_offload ? 1u << i : 0;
	return found;
}

void node_describe(const struct node *node, struct guest_options *options)
{
	const struct node_context *context = lab_context(node->lab);

	*options = (struct guest_options){
		.name = node->topology->name,
		.image = node->image,
		.cmdline = node->topology->cmdline,
		.memory = node->memory,
		.cpus = node->cpus,
		.nics = count_template_nics(node),
		.kvm_fd = context->kvm_fd,
		.host = context->host,
		.control = context->control,
	};
	options->offload_nics = find_offload_nics(node, options->nics);
}

int node_build_guest(struct node *node, const struct guest_options *options, struct error *error)
{
	node->greeted = node->has_network = node->is_untold = false;
	node->guest = guest_create(options, &guest_ops, node, error);
	if (!node->guest)
		return -EIO;
	return create_nics(node, error);
}

static int build(struct node *node, struct template *template, struct error *error)
{
	struct guest_options options;

	node_describe(node, &options);
	options.template = template;
	return node_build_guest(node, &options, error);
}

void node_plug(struct node *node)
{
	call_dataplane(node, plug);
}

static int start(struct node *node, struct error *error)
{
	int result;

	node_plug(node);
	node->was_ready = false;
	node->started = loop_now();
	node->is_clone = node->guest->options.template != NULL;
	node->found_nics = node->is_clone ? template_nics(node->guest->options.template) : 0;
	node_set_state(node, NODE_BOOTING);
	result = guest_start(node->guest, error);
	if (result < 0)
		node_release_guest(node);
	return result;
}

int node_start(struct node *node, struct template *template, struct error *error)
{
	struct error reason = {.class = ERROR_NONE};

	node->reason[0] = '\0';
	node->has_registers = false;
	/* What fails here fails with or without a template. */
	if (build(node, template, error) < 0)
		return -EIO;
	if (!template)
		return start(node, error);
	if (start(node, &reason) == 0)
		return 0;
	drop_template(node, reason.text);
	if (build(node, NULL, error) < 0)
		return -EIO;
	return start(node, error);
}

bool node_stop(struct node *node)
{
	if (!node->guest)
		return false;
	machine_stop(node->guest->machine);
	return true;
}

int node_restart(struct node *node, struct error *error)
{
	int result;

	if (lab_is_occupied(node->lab))
		return error_set(error, ERROR_FAILED, EBUSY, "%s", lab_is_occupied(node->lab));
	if (node_stop(node)) {
		node->restart_wanted = true; /* Goes on in on_ended(). */
		return 0;
	}
	node_release_guest(node);
	result = node_start(node, lab_node_template(node->lab, node), error);
	if (result < 0)
		node_fail(node, error->text);
	return result;
}

/* machine_pause() */
static void on_frozen(void *opaque)
{
	struct node *node = opaque;

	node->freezing = false;
	node->frozen = true;
	lab_node_frozen(node->lab);
}

bool node_freeze(struct node *node)
{
	if (!node->guest || node->frozen)
		return false;
	if (!node->freezing) {
		node->freezing = true;
		machine_pause(node->guest->machine, on_frozen, node);
	}
	return true;
}

void node_thaw(struct node *node)
{
	if (!node->frozen || node->state == NODE_PAUSED)
		return;
	node->frozen = false;
	machine_resume(node->guest->machine);
}

void node_set_paused(struct node *node, bool paused)
{
	if (paused == (node->state == NODE_PAUSED))
		return;
	if (paused) {
		node->paused_from = node->state;
		node->paused_seconds = node->seconds;
		node_set_state(node, NODE_PAUSED);
	} else {
		node_set_state(node, node->paused_from);
		node->seconds = node->paused_seconds;
	}
}

struct node *node_create(const struct topology_node *topology, const struct node_context *context, struct error *error)
{
	struct node *node = calloc(1, sizeof(*node));
	struct node_shape shape;

	if (!node) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	node->lab = context->lab;
	node->since = wall_time();
	node->log = node_log_create(context->runtime, topology->name, error);
	if (!node->log || node_shape_make(&shape, topology, NULL, context, error) < 0) {
		node_destroy(node);
		return NULL;
	}
	node_shape_apply(&shape, node);
	return node;
}

void node_destroy(struct node *node)
{
	node_release_guest(node);
	node_log_destroy(node->log);
	image_free(node->image);
	free(node->interfaces);
	free(node);
}

void node_reset(struct node *node)
{
	node->reason[0] = '\0';
	node->has_registers = false;
	node->held = false;
	node->was_ready = false;
	node->started = 0;
	node_set_state(node, NODE_CREATED);
}

const char *node_name(const struct node *node)
{
	return node->topology->name;
}

enum node_state node_state(const struct node *node)
{
	return node->state;
}

double node_state_seconds(const struct node *node)
{
	return node->seconds;
}

const char *node_reason(const struct node *node)
{
	return node->reason;
}

struct agent *node_agent(struct node *node)
{
	return node->guest && node->state != NODE_PAUSED && agent_is_connected(node->guest->agent) ?
		       node->guest->agent :
		       NULL;
}

const char *node_log_path(const struct node *node)
{
	return node_log_file(node->log);
}

size_t node_console_write(struct node *node, const uint8_t *data, size_t size)
{
	return node->guest ? virtio_console_write(node->guest->console, VIRTIO_CONSOLE_TERMINAL, data, size) : 0;
}

void node_console_resize(struct node *node, uint16_t rows, uint16_t columns)
{
	if (node->guest)
		virtio_console_resize(node->guest->console, rows, columns);
}

size_t node_console_history(struct node *node, uint8_t *to, size_t size)
{
	size_t kept = node->history_end < NODE_HISTORY_SIZE ? node->history_end : NODE_HISTORY_SIZE;
	size_t count = kept < size ? kept : size;

	for (size_t i = 0; i < count; i++)
		to[i] = node->history[(node->history_end - count + i) % NODE_HISTORY_SIZE];
	return count;
}
