/* SPDX-License-Identifier: Apache-2.0 */

/* The balloon: free pages reported well and badly. */

#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "devices/virtio_balloon.h"
#include "devices/virtio_pci.h"

#define SLOT_BALLOON 4
#define PAGE 0x1000u
#define MIB (1u << 20)

#define INFLATE 0
#define DEFLATE 1
#define REPORTS 2                  /* Where Linux has it. */
#define REPORTS_BY_SPECIFICATION 4 /* Where the specification has it. */
#define QUEUES 5

#define REPORTING (1u << VIRTIO_BALLOON_F_REPORTING)

/* Memory without rings and buffers: the upper half. */
#define FREE 0x1000000u
#define FREE_SIZE (16 * MIB)

struct balloon {
	struct bench *bench;
	struct virtio_balloon *device;
	struct driver driver;
};

static struct balloon start(void **state, uint64_t features)
{
	struct balloon balloon = {.bench = bench_of(state)};
	struct guest *guest = ENEMY(balloon.bench);
	struct error error = {.class = ERROR_NONE};

	net_start(guest, 0);
	balloon.device = virtio_balloon_create(guest->machine, balloon.bench->control, SLOT_BALLOON, &error);
	assert_non_null(balloon.device);
	driver_attach(&balloon.driver, guest->machine, SLOT_BALLOON);
	driver_start(&balloon.driver, features, QUEUES);
	return balloon;
}

static void offer(struct balloon *balloon, unsigned int queue, struct vring_desc descriptor)
{
	uint16_t before = balloon->driver.queues[queue].next_available;

	driver_describe(&balloon->driver, queue, before % DRIVER_RING_SIZE, descriptor);
	driver_offer(&balloon->driver, queue, before % DRIVER_RING_SIZE);
	if (driver_kick_wanted(&balloon->driver, queue, before))
		driver_kick(&balloon->driver, queue);
	bench_settle(balloon->bench);
}

static struct vring_desc range(uint64_t address, uint32_t length)
{
	return (struct vring_desc){.addr = address, .len = length, .flags = VRING_DESC_F_WRITE};
}

static void fill(struct balloon *balloon, uint64_t address, size_t size)
{
	memset(driver_memory(&balloon->driver, address, size), 0x5a, size);
}

static void expect_bytes(struct balloon *balloon, uint64_t address, size_t size, uint8_t value)
{
	const uint8_t *bytes = driver_memory(&balloon->driver, address, size);

	for (size_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], value);
}

/* It was taken, nothing was written into it, and the device goes on. */
static void expect_answered(struct balloon *balloon, unsigned int queue)
{
	struct vring_used_elem used;

	assert_true(driver_take_used(&balloon->driver, queue, &used));
	assert_int_equal(used.len, 0);
	assert_null(virtio_balloon_quarantine_reason(balloon->device));
}

static void check_works(struct balloon *balloon, unsigned int queue)
{
	fill(balloon, FREE, 4ull * PAGE);
	offer(balloon, queue, range(FREE + PAGE, 2 * PAGE));
	expect_answered(balloon, queue);
	expect_bytes(balloon, FREE, PAGE, 0x5a);
	expect_bytes(balloon, FREE + PAGE, 2ull * PAGE, 0);
	expect_bytes(balloon, FREE + 3 * PAGE, PAGE, 0x5a);
}

static void expect_quarantine(struct balloon *balloon, const char *reason)
{
	bench_settle(balloon->bench);
	assert_non_null(virtio_balloon_quarantine_reason(balloon->device));
	assert_string_equal(virtio_balloon_quarantine_reason(balloon->device), reason);
	driver_expect_needs_reset(&balloon->driver);
	bench_expect_tolerated(balloon->bench);
	driver_start(&balloon->driver, REPORTING, QUEUES);
	check_works(balloon, REPORTS);
}

/* ---- Used well ---- */

static void asks_for_nothing(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	assert_true(driver_offered(&balloon.driver) & REPORTING);
	assert_int_equal(driver_offered(&balloon.driver) & 0xffffff, REPORTING);
	assert_int_equal(driver_read(&balloon.driver, BAR_DEVICE, 4), 0);
	assert_int_equal(driver_read(&balloon.driver, BAR_DEVICE + 4, 4), 0);
}

static void reported_pages_are_given_back(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	for (unsigned int i = 0; i < 2 * DRIVER_RING_SIZE; i++)
		check_works(&balloon, REPORTS);
	bench_expect_tolerated(balloon.bench);
}

static void reports_with_event_indices(void **state)
{
	struct balloon balloon = start(state, REPORTING | VIRTIO_FEATURE_EVENT_IDX);

	for (unsigned int i = 0; i < 2 * DRIVER_RING_SIZE; i++)
		check_works(&balloon, REPORTS);
}

static void reports_on_the_queue_of_the_specification(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	check_works(&balloon, REPORTS_BY_SPECIFICATION);
}

static void reports_of_many_ranges(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	fill(&balloon, FREE, FREE_SIZE);
	for (uint16_t i = 0; i < 32; i++) {
		struct vring_desc descriptor = range(FREE + 4ull * PAGE * i, 2 * PAGE);

		descriptor.flags |= i < 31 ? VRING_DESC_F_NEXT : 0;
		descriptor.next = (uint16_t)(i + 1);
		driver_describe(&balloon.driver, REPORTS, i, descriptor);
	}
	driver_offer(&balloon.driver, REPORTS, 0);
	driver_kick(&balloon.driver, REPORTS);
	bench_settle(balloon.bench);
	expect_answered(&balloon, REPORTS);
	for (unsigned int i = 0; i < 32; i++) {
		expect_bytes(&balloon, FREE + 4ull * PAGE * i, 2ull * PAGE, 0);
		expect_bytes(&balloon, FREE + 4ull * PAGE * i + 2 * PAGE, 2ull * PAGE, 0x5a);
	}
}

/* Whatever it puts there was not asked for. */
static void inflate_and_deflate_do_nothing(void **state)
{
	static const unsigned int queues[] = {INFLATE, DEFLATE};
	struct balloon balloon = start(state, REPORTING);
	const uint32_t frame = FREE / PAGE;

	fill(&balloon, FREE, PAGE);
	for (unsigned int i = 0; i < 2; i++) {
		memcpy(driver_memory(&balloon.driver, driver_buffer(queues[i], 0), sizeof(frame)), &frame,
		       sizeof(frame));
		offer(&balloon, queues[i],
		      (struct vring_desc){.addr = driver_buffer(queues[i], 0), .len = sizeof(frame)});
		expect_answered(&balloon, queues[i]);
		offer(&balloon, queues[i], range(FREE, PAGE));
		expect_answered(&balloon, queues[i]);
	}
	expect_bytes(&balloon, FREE, PAGE, 0x5a);
	check_works(&balloon, REPORTS);
}

static void reports_without_the_feature_do_nothing(void **state)
{
	struct balloon balloon = start(state, 0);

	fill(&balloon, FREE, PAGE);
	offer(&balloon, REPORTS, range(FREE, PAGE));
	expect_answered(&balloon, REPORTS);
	expect_bytes(&balloon, FREE, PAGE, 0x5a);
}

/* ---- Used badly ---- */

static void case_5_report_outside_of_memory(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	offer(&balloon, REPORTS, range(BENCH_MEMORY - PAGE, 2 * PAGE));
	expect_quarantine(&balloon, "buffer is outside of memory");
}

static void case_5_report_that_wraps_around(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	offer(&balloon, REPORTS, range(UINT64_MAX - PAGE + 1, 2 * PAGE));
	expect_quarantine(&balloon, "buffer is outside of memory");
}

static void case_13_report_is_readable(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	offer(&balloon, REPORTS, (struct vring_desc){.addr = FREE, .len = PAGE});
	expect_quarantine(&balloon, "report of free pages has a readable buffer");
}

static void case_1_head_outside_of_queue(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	driver_offer(&balloon.driver, INFLATE, 0x8000);
	driver_kick(&balloon.driver, INFLATE);
	expect_quarantine(&balloon, "descriptor index is outside of the queue");
}

/* No page is wholly in any of them. */
static void case_11_reports_of_less_than_a_page(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	fill(&balloon, FREE, 2ull * PAGE);
	offer(&balloon, REPORTS, range(FREE, 0));
	offer(&balloon, REPORTS, range(FREE, 1));
	offer(&balloon, REPORTS, range(FREE + 1, PAGE - 1));
	offer(&balloon, REPORTS, range(FREE + PAGE / 2, PAGE));
	assert_int_equal(driver_used_index(&balloon.driver, REPORTS), 4);
	expect_bytes(&balloon, FREE, 2ull * PAGE, 0x5a);
	assert_null(virtio_balloon_quarantine_reason(balloon.device));
}

/* The rings of its devices are among what it says is free. */
static void case_31_report_of_all_of_memory(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	offer(&balloon, REPORTS, range(0, (uint32_t)BENCH_MEMORY));
	for (unsigned int i = 0; i < 20; i++) {
		driver_kick(&balloon.driver, REPORTS);
		bench_settle(balloon.bench);
	}
	net_check_works(BYSTANDER(balloon.bench));
	net_start(ENEMY(balloon.bench), 0);
	driver_start(&balloon.driver, REPORTING, QUEUES);
	check_works(&balloon, REPORTS);
	bench_expect_tolerated(balloon.bench);
}

static size_t read_used(void *opaque)
{
	return driver_used_index(opaque, REPORTS);
}

/* One chain of as many buffers as there may be, each of them half of the memory: 4 GiB. */
static void offer_enormous_report(struct balloon *balloon)
{
	assert_true(driver_negotiate(&balloon->driver, REPORTING));
	driver_set_up_queue(&balloon->driver, REPORTS, VIRTQUEUE_SIZE_MAX);
	driver_add_status(&balloon->driver, VIRTIO_CONFIG_S_DRIVER_OK);
	for (unsigned int i = 0; i < VIRTQUEUE_SIZE_MAX; i++) {
		struct vring_desc descriptor = range(FREE, FREE_SIZE);

		descriptor.flags |= i + 1 < VIRTQUEUE_SIZE_MAX ? VRING_DESC_F_NEXT : 0;
		descriptor.next = (uint16_t)(i + 1);
		driver_describe(&balloon->driver, REPORTS, i, descriptor);
	}
	driver_offer(&balloon->driver, REPORTS, 0);
}

static void case_31_enormous_report_lets_others_have_their_turns(void **state)
{
	struct balloon balloon = start(state, REPORTING);
	struct turns turns = {.read = read_used, .opaque = &balloon.driver, .until = 1};

	offer_enormous_report(&balloon);
	bench_watch(balloon.bench, &turns);
	driver_kick(&balloon.driver, REPORTS);
	assert_true(bench_watch_end(balloon.bench, &turns));
	assert_in_range(turns.count, VIRTQUEUE_SIZE_MAX / 2, SIZE_MAX);
	expect_answered(&balloon, REPORTS);
	bench_expect_tolerated(balloon.bench);
}

static void case_31_flood_of_reports_lets_others_have_their_turns(void **state)
{
	struct balloon balloon = start(state, REPORTING);
	struct turns turns = {.read = read_used, .opaque = &balloon.driver, .until = DRIVER_RING_SIZE};

	for (uint16_t i = 0; i < DRIVER_RING_SIZE; i++) {
		driver_describe(&balloon.driver, REPORTS, i, range(FREE, 4 * MIB));
		driver_offer(&balloon.driver, REPORTS, i);
	}
	bench_watch(balloon.bench, &turns);
	driver_kick(&balloon.driver, REPORTS);
	assert_true(bench_watch_end(balloon.bench, &turns));
	assert_in_range(turns.growth, 1, 4);
	check_works(&balloon, REPORTS);
	bench_expect_tolerated(balloon.bench);
}

/* Does something to the machine a few turns after the kick, in the control loop, when the report is half done. */
struct interruption {
	struct balloon *balloon;
	void (*interrupt)(struct balloon *balloon);
	struct loop_task task;
	unsigned int turns;
	uint16_t used; /* Index, just before it. */
};

static void count_turns(void *opaque)
{
	struct interruption *interruption = opaque;
	struct balloon *balloon = interruption->balloon;

	if (interruption->turns++ < 5) {
		loop_task_queue(balloon->bench->control, &interruption->task);
		return;
	}
	interruption->used = driver_used_index(&balloon->driver, REPORTS);
	interruption->interrupt(balloon);
}

static void begin_interruption(void *opaque)
{
	struct interruption *interruption = opaque;

	driver_kick(&interruption->balloon->driver, REPORTS);
	loop_task_queue(interruption->balloon->bench->control, &interruption->task);
}

static void interrupt_report(struct balloon *balloon, void (*interrupt)(struct balloon *balloon))
{
	struct interruption interruption = {.balloon = balloon, .interrupt = interrupt};

	interruption.task = (struct loop_task){.function = count_turns, .opaque = &interruption};
	offer_enormous_report(balloon);
	loop_call(balloon->bench->control, begin_interruption, &interruption);
	bench_settle(balloon->bench);
	assert_int_equal(interruption.turns, 6);
	assert_int_equal(interruption.used, 0);
}

static void reset(struct balloon *balloon)
{
	driver_write(&balloon->driver, VIRTIO_PCI_COMMON_STATUS, 1, 0);
}

static void reset_within_a_report(void **state)
{
	struct balloon balloon = start(state, REPORTING);

	interrupt_report(&balloon, reset);
	assert_int_equal(driver_used_index(&balloon.driver, REPORTS), 0);
	driver_start(&balloon.driver, REPORTING, QUEUES);
	check_works(&balloon, REPORTS);
}

static void drain(struct balloon *balloon)
{
	machine_drain(ENEMY(balloon->bench)->machine);
}

/* What a save does first.  The report is taken anew, and answered once. */
static void drain_within_a_report(void **state)
{
	struct balloon balloon = start(state, REPORTING);
	struct turns turns = {.read = read_used, .opaque = &balloon.driver, .until = 1};

	interrupt_report(&balloon, drain);
	bench_watch(balloon.bench, &turns);
	assert_true(bench_watch_end(balloon.bench, &turns));
	bench_settle(balloon.bench);
	assert_int_equal(driver_used_index(&balloon.driver, REPORTS), 1);
	expect_answered(&balloon, REPORTS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(asks_for_nothing),
		CASE(reported_pages_are_given_back),
		CASE(reports_with_event_indices),
		CASE(reports_on_the_queue_of_the_specification),
		CASE(reports_of_many_ranges),
		CASE(inflate_and_deflate_do_nothing),
		CASE(reports_without_the_feature_do_nothing),
		CASE(case_1_head_outside_of_queue),
		CASE(case_5_report_outside_of_memory),
		CASE(case_5_report_that_wraps_around),
		CASE(case_11_reports_of_less_than_a_page),
		CASE(case_13_report_is_readable),
		CASE(case_31_report_of_all_of_memory),
		CASE(case_31_enormous_report_lets_others_have_their_turns),
		CASE(case_31_flood_of_reports_lets_others_have_their_turns),
		CASE(reset_within_a_report),
		CASE(drain_within_a_report),
	};

	return cmocka_run_group_tests_name("hostile/balloon", tests, NULL, NULL);
}
