/* SPDX-License-Identifier: Apache-2.0 */

/* Machines that are drained, saved, and go on elsewhere: of what their devices and clocks are in the middle of, nothing
 * is lost, nothing comes twice, and nothing moves in between.  Others have had each of these faults. */

#include <linux/kvm.h>
#include <linux/serial_reg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "core/platform.h"
#include "devices/virtio_pci.h"
#include "running.h"
#include "tests/state_bytes.h"

#define FRAME 60
#define RING 256

#define TAG_CLOCK STATE_TAG('c', 'l', 'c', 'k')
#define TAG_IRQCHIP STATE_TAG('i', 'r', 'q', 'c')
#define TAG_LAPIC STATE_TAG('l', 'a', 'p', 'c')

/* A guest with vCPUs, and a driver for its NIC. */
static struct guest *start(void **state, uint64_t features)
{
	struct guest *guest = ENEMY(bench_of(state));

	guest_run_halted(guest);
	net_start(guest, features);
	return guest;
}

/* With rings of RING descriptors. */
static void use_large_rings(struct guest *guest)
{
	assert_true(driver_negotiate(&guest->nic, VIRTIO_FEATURE_EVENT_IDX));
	driver_set_up_queue(&guest->nic, NET_RECEIVE, RING);
	driver_set_up_queue(&guest->nic, NET_TRANSMIT, RING);
	driver_add_status(&guest->nic, 4);
}

/* Makes 'count' frames available; the first two bytes of each after the addresses are its number. */
static void offer_frames(struct guest *guest, unsigned int first, unsigned int count)
{
	struct driver *nic = &guest->nic;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int index = nic->queues[NET_TRANSMIT].next_available % nic->queues[NET_TRANSMIT].size;
		uint64_t buffer = driver_buffer(NET_TRANSMIT, index);
		uint8_t *bytes = driver_memory(nic, buffer, NET_HEADER + FRAME);
		uint16_t number = (uint16_t)(first + i);

		memset(bytes, 0, NET_HEADER + FRAME);
		memset(bytes + NET_HEADER, 0xff, 6);
		bytes[NET_HEADER + 6] = 0x52;
		bytes[NET_HEADER + 11] = (uint8_t)(guest->index + 1);
		memcpy(bytes + NET_HEADER + 12, &number, sizeof(number));
		driver_describe(nic, NET_TRANSMIT, index,
				(struct vring_desc){.addr = buffer, .len = NET_HEADER + FRAME});
		driver_offer(nic, NET_TRANSMIT, (uint16_t)index);
	}
}

static void expect_sent(struct guest *guest, unsigned int frames)
{
	uint16_t last;

	bench_settle(guest->bench);
	assert_int_equal(guest->wire.frames, frames);
	assert_int_equal(driver_used_index(&guest->nic, NET_TRANSMIT), frames);
	if (frames == 0)
		return;
	memcpy(&last, guest->wire.frame + 12, sizeof(last));
	assert_int_equal(last, frames - 1);
}

/* ---- Frames in flight ---- */

static void frame_in_flight_is_sent_after_resume(void **state)
{
	struct guest *guest = start(state, 0);

	guest_pause_and_drain(guest);
	offer_frames(guest, 0, 1);
	driver_kick(&guest->nic, NET_TRANSMIT);
	expect_sent(guest, 0);
	guest_resume(guest);
	expect_sent(guest, 1);
}

/* The guest was held between the two. */
static void frame_not_kicked_yet_is_sent_after_resume(void **state)
{
	struct guest *guest = start(state, VIRTIO_FEATURE_EVENT_IDX);

	offer_frames(guest, 0, 3);
	guest_pause_and_drain(guest);
	expect_sent(guest, 0);
	guest_resume(guest);
	expect_sent(guest, 3);
	driver_kick(&guest->nic, NET_TRANSMIT); /* It comes late, and for nothing. */
	expect_sent(guest, 3);
}

static void frame_in_flight_is_sent_once_by_the_restored(void **state, uint64_t features, bool kicked)
{
	struct guest *guest = start(state, features);
	struct saved_guest saved;

	offer_frames(guest, 0, 2);
	driver_kick(&guest->nic, NET_TRANSMIT);
	expect_sent(guest, 2);
	guest_pause_and_drain(guest);
	offer_frames(guest, 2, 5);
	if (kicked)
		driver_kick(&guest->nic, NET_TRANSMIT);
	saved = guest_save(guest);
	expect_sent(guest, 2);
	guest_restore(guest, &saved);
	expect_sent(guest, 2);
	guest_resume(guest);
	expect_sent(guest, 7);
	offer_frames(guest, 7, 1);
	driver_kick(&guest->nic, NET_TRANSMIT);
	expect_sent(guest, 8);
	guest_forget(&saved);
}

static void frame_in_flight_is_restored(void **state)
{
	frame_in_flight_is_sent_once_by_the_restored(state, 0, true);
}

static void frame_in_flight_is_restored_with_event_indices(void **state)
{
	frame_in_flight_is_sent_once_by_the_restored(state, VIRTIO_FEATURE_EVENT_IDX, true);
}

static void frame_not_kicked_yet_is_restored(void **state)
{
	frame_in_flight_is_sent_once_by_the_restored(state, VIRTIO_FEATURE_EVENT_IDX, false);
}

static void frames_that_were_sent_are_not_sent_again(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	offer_frames(guest, 0, 9);
	driver_kick(&guest->nic, NET_TRANSMIT);
	expect_sent(guest, 9);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	for (int i = 0; i < 2; i++) { /* As often as one likes. */
		guest_restore(guest, &saved);
		guest_resume(guest);
		expect_sent(guest, 9);
		guest_pause(guest);
	}
	guest_forget(&saved);
}

/* loop_function: between two batches. */
static void drain_guest(void *opaque)
{
	machine_drain(((struct guest *)opaque)->machine);
}

/* Drains in the middle of what is more than a batch. */
static unsigned int drain_in_the_middle(struct guest *guest)
{
	use_large_rings(guest);
	offer_frames(guest, 0, RING);
	guest_pause(guest);
	guest->wire.at_tenth = drain_guest;
	guest->wire.opaque = guest;
	driver_kick(&guest->nic, NET_TRANSMIT);
	bench_settle(guest->bench);
	assert_in_range(guest->wire.frames, 1, RING - 1);
	assert_int_equal(driver_used_index(&guest->nic, NET_TRANSMIT), guest->wire.frames);
	return guest->wire.frames;
}

static void batch_cut_short_goes_on_after_resume(void **state)
{
	struct guest *guest = start(state, 0);

	expect_sent(guest, drain_in_the_middle(guest));
	guest_resume(guest);
	expect_sent(guest, RING);
}

static void batch_cut_short_is_restored(void **state)
{
	struct guest *guest = start(state, 0);
	unsigned int sent = drain_in_the_middle(guest);
	struct saved_guest saved = guest_save(guest);

	guest_restore(guest, &saved);
	expect_sent(guest, sent);
	guest_resume(guest);
	expect_sent(guest, RING);
	guest_forget(&saved);
}

/* Received, and the interrupt not yet taken: the guest has both. */
static void frame_received_is_restored_with_its_interrupt(void **state)
{
	struct guest *guest = start(state, 0);
	struct vring_used_elem used;
	struct saved_guest saved;

	net_post(guest, 0, DRIVER_BUFFER_SIZE);
	net_post(guest, 1, DRIVER_BUFFER_SIZE);
	driver_clear_pending(&guest->nic, NET_RECEIVE + 1);
	assert_int_equal(net_deliver(guest, 0x33, 100), VIRTIO_NET_DELIVERED);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	assert_true(driver_is_pending(&guest->nic, NET_RECEIVE + 1));
	assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
	assert_int_equal(used.len, NET_HEADER + 100);
	/* The next one comes into the next buffer. */
	assert_int_equal(net_deliver(guest, 0x44, 200), VIRTIO_NET_DELIVERED);
	assert_true(driver_take_used(&guest->nic, NET_RECEIVE, &used));
	assert_int_equal(used.id, 1);
	assert_int_equal(used.len, NET_HEADER + 200);
	assert_int_equal(net_deliver(guest, 0x55, 100), VIRTIO_NET_RING_FULL);
	guest_forget(&saved);
}

/* loop_function */
static void take_link(void *opaque)
{
	virtio_net_set_link(opaque, false);
}

/* Who restores may have set it meanwhile: what was saved does not count. */
static void link_is_as_the_new_nic_has_it(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	loop_call(guest->bench->plane, take_link, guest->net);
	assert_int_equal(driver_read(&guest->nic, BAR_DEVICE + 6, 2), 0);
	guest_pause_and_drain(guest);
	driver_clear_pending(&guest->nic, DRIVER_VECTOR_CONFIG);
	guest_resume(guest);
	assert_true(driver_is_pending(&guest->nic, DRIVER_VECTOR_CONFIG));
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	assert_int_equal(driver_read(&guest->nic, BAR_DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP);
	guest_forget(&saved);
}

static void quarantined_device_stays_so(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	driver_offer(&guest->nic, NET_TRANSMIT, 9999);
	driver_kick(&guest->nic, NET_TRANSMIT);
	bench_settle(guest->bench);
	assert_non_null(virtio_net_quarantine_reason(guest->net));
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	driver_kick(&guest->nic, NET_TRANSMIT);
	bench_settle(guest->bench);
	assert_non_null(virtio_net_quarantine_reason(guest->net));
	driver_expect_needs_reset(&guest->nic);
	assert_int_equal(net_deliver(guest, 1, FRAME), VIRTIO_NET_NOT_READY);
	guest->wire.frames = 0;
	net_start(guest, 0);
	net_check_works(guest);
	guest_forget(&saved);
}

/* ---- Two guests on a network ---- */

struct pair {
	struct bench *bench;
	struct guest *sender, *receiver;
	struct port *ports[2];
	struct state dataplane;
	struct saved_guest saved[2];
};

static void connect(struct pair *pair, void **state)
{
	*pair = (struct pair){.bench = bench_of(state)};
	pair->sender = ENEMY(pair->bench);
	pair->receiver = BYSTANDER(pair->bench);
	pair->ports[0] = dataplane_add_port(pair->bench->dataplane, "h1:eth0");
	pair->ports[1] = dataplane_add_port(pair->bench->dataplane, "h2:eth0");
	port_join_port(pair->ports[0], pair->ports[1]);
	for (unsigned int i = 0; i < 2; i++) {
		guest_run_halted(&pair->bench->guests[i]);
		net_start(&pair->bench->guests[i], 0);
		use_large_rings(&pair->bench->guests[i]);
		guest_plug(&pair->bench->guests[i], pair->ports[i]);
	}
	for (unsigned int i = 0; i < RING; i++)
		net_post(pair->receiver, i, DRIVER_BUFFER_SIZE);
}

/* loop_function: in a turn that has not ended. */
static void save_all(void *opaque)
{
	struct pair *pair = opaque;

	machine_drain(pair->sender->machine);
	machine_drain(pair->receiver->machine);
	dataplane_save(pair->bench->dataplane, &pair->dataplane);
	for (unsigned int i = 0; i < 2; i++)
		pair->saved[i] = guest_save_here(&pair->bench->guests[i]);
}

/* While frames pass from one to the other.  Returns how many have. */
static unsigned int save_in_the_middle(struct pair *pair)
{
	offer_frames(pair->sender, 0, RING);
	guest_pause(pair->sender);
	guest_pause(pair->receiver);
	pair->sender->wire.at_tenth = save_all;
	pair->sender->wire.opaque = pair;
	driver_kick(&pair->sender->nic, NET_TRANSMIT);
	bench_settle(pair->bench);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pair->saved[i].error.class, ERROR_NONE);
	assert_in_range(pair->sender->wire.frames, 10, RING - 1);
	return pair->sender->wire.frames;
}

static void forget_all(struct pair *pair)
{
	for (unsigned int i = 0; i < 2; i++)
		guest_forget(&pair->saved[i]);
	state_release(&pair->dataplane);
}

/* loop_function */
static void restore_dataplane(void *opaque)
{
	struct pair *pair = opaque;

	dataplane_restore(pair->bench->dataplane, &pair->dataplane);
}

/* What was counted is what is there, of 'count' frames: on the wire, and in the receiver's buffers, in their order. */
static void expect_passed(struct pair *pair, unsigned int count)
{
	struct port_counters sender, receiver;

	expect_sent(pair->sender, count);
	port_read_counters(pair->ports[0], &sender);
	port_read_counters(pair->ports[1], &receiver);
	assert_int_equal(sender.transmitted_frames, count);
	assert_int_equal(receiver.received_frames, count);
	assert_int_equal(driver_used_index(&pair->receiver->nic, NET_RECEIVE), count);
	assert_true(driver_is_pending(&pair->receiver->nic, NET_RECEIVE + 1));
	for (unsigned int i = 0; i < count; i++) {
		const uint8_t *bytes = driver_memory(&pair->receiver->nic, driver_buffer(NET_RECEIVE, i), FRAME);
		uint16_t number;

		memcpy(&number, bytes + NET_HEADER + 12, sizeof(number));
		assert_int_equal(number, i);
	}
}

static void frames_are_counted_alike_before_and_after(void **state)
{
	struct pair pair;
	unsigned int passed;

	connect(&pair, state);
	passed = save_in_the_middle(&pair);
	expect_passed(&pair, passed);
	for (unsigned int i = 0; i < 2; i++)
		guest_restore(&pair.bench->guests[i], &pair.saved[i]);
	loop_call(pair.bench->plane, restore_dataplane, &pair);
	assert_false(pair.dataplane.bad);
	expect_passed(&pair, passed);
	/* Whoever goes on first. */
	guest_resume(pair.sender);
	guest_resume(pair.receiver);
	expect_passed(&pair, RING);
	forget_all(&pair);
}

static void frames_go_on_where_the_lab_was_saved(void **state)
{
	struct pair pair;

	connect(&pair, state);
	expect_passed(&pair, save_in_the_middle(&pair));
	guest_resume(pair.receiver);
	guest_resume(pair.sender);
	expect_passed(&pair, RING);
	forget_all(&pair);
}

/* ---- The UART ---- */

static uint8_t uart_read(struct guest *guest, unsigned int offset)
{
	uint8_t value;

	machine_port_access(guest->machine, (uint16_t)(PLATFORM_PORT_UART + offset), &value, 1, false);
	return value;
}

static void uart_write(struct guest *guest, unsigned int offset, uint8_t value)
{
	machine_port_access(guest->machine, (uint16_t)(PLATFORM_PORT_UART + offset), &value, 1, true);
}

static void uart_registers_are_restored(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	uart_write(guest, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	uart_write(guest, UART_DLL, 12);
	uart_write(guest, UART_DLM, 3);
	uart_write(guest, UART_LCR, UART_LCR_WLEN8);
	uart_write(guest, UART_MCR, UART_MCR_OUT2);
	uart_write(guest, UART_SCR, 0x5a);
	uart_write(guest, UART_FCR, UART_FCR_ENABLE_FIFO);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	assert_int_equal(uart_read(guest, UART_LCR), UART_LCR_WLEN8);
	assert_int_equal(uart_read(guest, UART_MCR), UART_MCR_OUT2);
	assert_int_equal(uart_read(guest, UART_SCR), 0x5a);
	assert_int_equal(uart_read(guest, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	uart_write(guest, UART_LCR, UART_LCR_DLAB);
	assert_int_equal(uart_read(guest, UART_DLL), 12);
	assert_int_equal(uart_read(guest, UART_DLM), 3);
	guest_forget(&saved);
}

/* The guest waits for the interrupt, or for what it will read then. */
static void uart_interrupt_is_restored(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	uart_write(guest, UART_IER, UART_IER_THRI);
	assert_int_equal(uart_read(guest, UART_IIR), UART_IIR_THRI);
	uart_write(guest, UART_TX, 'x');
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	guest_restore(guest, &saved);
	guest_resume(guest);
	assert_int_equal(uart_read(guest, UART_IER), UART_IER_THRI);
	assert_int_equal(uart_read(guest, UART_IIR), UART_IIR_THRI);
	assert_int_equal(uart_read(guest, UART_IIR), UART_IIR_NO_INT);
	guest_forget(&saved);
}

#define UART_VECTOR 0x34
#define LAPIC_SPURIOUS 0xf0
#define LAPIC_REQUESTED 0x200

/* Has the local APIC and the IOAPIC of a saved guest as Linux has them, with the UART's interrupt at UART_VECTOR. */
static void enable_uart_interrupt(const struct state *state)
{
	const uint32_t enabled = 0x1ff;
	struct kvm_irqchip chip;
	void *section = state_section(state, TAG_IRQCHIP, KVM_IRQCHIP_IOAPIC, NULL);

	memcpy(&chip, section, sizeof(chip));
	chip.chip.ioapic.redirtbl[PLATFORM_IRQ_UART].bits = UART_VECTOR;
	memcpy(section, &chip, sizeof(chip));
	memcpy((uint8_t *)state_section(state, TAG_LAPIC, 0, NULL) + LAPIC_SPURIOUS, &enabled, sizeof(enabled));
}

static bool is_requested(void *opaque)
{
	struct saved_guest saved = guest_save(opaque);
	uint32_t requested;

	memcpy(&requested,
	       (uint8_t *)state_section(&saved.state, TAG_LAPIC, 0, NULL) + LAPIC_REQUESTED + UART_VECTOR / 32 * 0x10,
	       sizeof(requested));
	guest_forget(&saved);
	return requested >> UART_VECTOR % 32 & 1;
}

/* It had left the UART, and had not come to the vCPU: it is sent again, and comes. */
static void uart_interrupt_comes_to_the_vcpu(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	uart_write(guest, UART_IER, UART_IER_THRI);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	enable_uart_interrupt(&saved.state);
	guest_restore(guest, &saved);
	assert_true(guest_wait(is_requested, guest));
	guest_forget(&saved);
}

static void no_uart_interrupt_that_was_not_there(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved;

	uart_write(guest, UART_IER, UART_IER_THRI);
	assert_int_equal(uart_read(guest, UART_IIR), UART_IIR_THRI);
	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	enable_uart_interrupt(&saved.state);
	guest_restore(guest, &saved);
	bench_settle(guest->bench);
	assert_false(is_requested(guest));
	guest_forget(&saved);
}

/* ---- The clock ---- */

static struct kvm_clock_data clock_of(const struct saved_guest *saved)
{
	struct kvm_clock_data clock;

	memcpy(&clock, state_section(&saved->state, TAG_CLOCK, 0, NULL), sizeof(clock));
	return clock;
}

/* With KVM_CLOCK_REALTIME, KVM would add what has passed on the wall. */
static void clock_does_not_jump(void **state)
{
	const struct timespec long_time = {.tv_nsec = 300000000};
	struct guest *guest = start(state, 0);
	struct saved_guest saved, again;
	uint64_t before, passed;

	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	assert_int_equal(clock_of(&saved).flags, 0);
	assert_true(clock_of(&saved).clock > 0);
	nanosleep(&long_time, NULL);
	before = loop_now();
	guest_restore(guest, &saved);
	again = guest_save(guest);
	passed = loop_now() - before;
	assert_in_range(clock_of(&again).clock, clock_of(&saved).clock, clock_of(&saved).clock + passed);
	guest_forget(&saved);
	guest_forget(&again);
}

/* Nor does one whose state says that it should. */
static void flags_of_a_saved_clock_are_ignored(void **state)
{
	struct guest *guest = start(state, 0);
	struct saved_guest saved, again;
	struct kvm_clock_data clock;
	uint64_t before, passed;

	guest_pause_and_drain(guest);
	saved = guest_save(guest);
	clock = clock_of(&saved);
	clock.flags = UINT32_MAX;
	clock.realtime = 1;
	clock.host_tsc = 1;
	memcpy(state_section(&saved.state, TAG_CLOCK, 0, NULL), &clock, sizeof(clock));
	before = loop_now();
	guest_restore(guest, &saved);
	again = guest_save(guest);
	passed = loop_now() - before;
	assert_in_range(clock_of(&again).clock, clock.clock, clock.clock + passed);
	guest_forget(&saved);
	guest_forget(&again);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(frame_in_flight_is_sent_after_resume),
		CASE(frame_not_kicked_yet_is_sent_after_resume),
		CASE(frame_in_flight_is_restored),
		CASE(frame_in_flight_is_restored_with_event_indices),
		CASE(frame_not_kicked_yet_is_restored),
		CASE(frames_that_were_sent_are_not_sent_again),
		CASE(batch_cut_short_goes_on_after_resume),
		CASE(batch_cut_short_is_restored),
		CASE(frame_received_is_restored_with_its_interrupt),
		CASE(link_is_as_the_new_nic_has_it),
		CASE(quarantined_device_stays_so),
		CASE(frames_are_counted_alike_before_and_after),
		CASE(frames_go_on_where_the_lab_was_saved),
		CASE(uart_registers_are_restored),
		CASE(uart_interrupt_is_restored),
		CASE(uart_interrupt_comes_to_the_vcpu),
		CASE(no_uart_interrupt_that_was_not_there),
		CASE(clock_does_not_jump),
		CASE(flags_of_a_saved_clock_are_ignored),
	};

	return cmocka_run_group_tests_name("hostile/saving", tests, NULL, NULL);
}
