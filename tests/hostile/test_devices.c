/* SPDX-License-Identifier: Apache-2.0 */

/* The small devices: entropy and UART, used well and badly. */

#include <linux/serial_reg.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "core/loop.h"
#include "core/platform.h"
#include "devices/virtio_pci.h"

/* ---- Entropy ---- */

struct entropy {
	struct bench *bench;
	struct driver driver;
};

static struct entropy start(void **state, uint64_t features)
{
	struct entropy entropy = {.bench = bench_of(state)};

	net_start(ENEMY(entropy.bench), 0);
	driver_attach(&entropy.driver, ENEMY(entropy.bench)->machine, BENCH_SLOT_RNG);
	driver_start(&entropy.driver, features, 1);
	return entropy;
}

static void request(struct entropy *entropy, struct vring_desc descriptor)
{
	uint16_t before = entropy->driver.queues[0].next_available;

	driver_describe(&entropy->driver, 0, before % DRIVER_RING_SIZE, descriptor);
	driver_offer(&entropy->driver, 0, before % DRIVER_RING_SIZE);
	if (driver_kick_wanted(&entropy->driver, 0, before))
		driver_kick(&entropy->driver, 0);
	bench_settle(entropy->bench);
}

static void check_answers(struct entropy *entropy)
{
	static const uint8_t zeroes[64];
	struct vring_used_elem used;
	uint8_t first[64];

	for (unsigned int i = 0; i < 200; i++) {
		uint8_t *buffer = driver_memory(&entropy->driver, driver_buffer(0, 0), sizeof(first));

		memset(buffer, 0, sizeof(first));
		request(entropy, (struct vring_desc){.addr = driver_buffer(0, 0),
						     .len = sizeof(first),
						     .flags = VRING_DESC_F_WRITE});
		assert_true(driver_take_used(&entropy->driver, 0, &used));
		assert_int_equal(used.len, sizeof(first));
		assert_memory_not_equal(buffer, zeroes, sizeof(first));
		if (i > 0)
			assert_memory_not_equal(buffer, first, sizeof(first));
		memcpy(first, buffer, sizeof(first));
	}
}

static void entropy_is_given(void **state)
{
	struct entropy entropy = start(state, 0);

	check_answers(&entropy);
}

static void entropy_is_given_with_event_indices(void **state)
{
	struct entropy entropy = start(state, VIRTIO_FEATURE_EVENT_IDX);

	check_answers(&entropy);
}

static void expect_quarantine(struct entropy *entropy, const char *reason)
{
	bench_settle(entropy->bench);
	assert_non_null(virtio_rng_quarantine_reason(ENEMY(entropy->bench)->rng));
	assert_string_equal(virtio_rng_quarantine_reason(ENEMY(entropy->bench)->rng), reason);
	driver_expect_needs_reset(&entropy->driver);
	bench_expect_tolerated(entropy->bench);
	driver_start(&entropy->driver, 0, 1);
	check_answers(entropy);
}

static void case_31_request_for_all_of_memory(void **state)
{
	struct entropy entropy = start(state, 0);
	struct vring_used_elem used;

	request(&entropy, (struct vring_desc){.addr = 0x800000, .len = 0x800000, .flags = VRING_DESC_F_WRITE});
	assert_true(driver_take_used(&entropy.driver, 0, &used));
	assert_in_range(used.len, 1, 65536);
	assert_null(virtio_rng_quarantine_reason(ENEMY(entropy.bench)->rng));
	check_answers(&entropy);
	bench_expect_tolerated(entropy.bench);
}

/* Each piece is the whole of memory. */
static void case_10_request_lengths_sum_beyond_32_bits(void **state)
{
	struct entropy entropy = start(state, 0);
	struct vring_used_elem used;

	assert_true(driver_negotiate(&entropy.driver, 0));
	driver_set_up_queue(&entropy.driver, 0, VIRTQUEUE_SIZE_MAX);
	driver_add_status(&entropy.driver, VIRTIO_CONFIG_S_DRIVER_OK);
	_Static_assert(BENCH_MEMORY * VIRTQUEUE_SIZE_MAX >= 1ull << 32, "the sum has to be too large for 32 bits");
	for (unsigned int i = 0; i < VIRTQUEUE_SIZE_MAX; i++)
		driver_describe(&entropy.driver, 0, i,
				(struct vring_desc){.len = (uint32_t)BENCH_MEMORY,
						    .flags = i + 1 < VIRTQUEUE_SIZE_MAX ?
								     VRING_DESC_F_WRITE | VRING_DESC_F_NEXT :
								     VRING_DESC_F_WRITE,
						    .next = (uint16_t)(i + 1)});
	driver_offer(&entropy.driver, 0, 0);
	driver_kick(&entropy.driver, 0);
	bench_settle(entropy.bench);
	assert_true(driver_take_used(&entropy.driver, 0, &used));
	assert_in_range(used.len, 1, 65536);
	assert_null(virtio_rng_quarantine_reason(ENEMY(entropy.bench)->rng));
	driver_start(&entropy.driver, 0, 1);
	check_answers(&entropy);
	bench_expect_tolerated(entropy.bench);
}

static void case_31_flood_of_requests(void **state)
{
	struct entropy entropy = start(state, 0);

	for (unsigned int i = 0; i < 4 * DRIVER_RING_SIZE; i++)
		request(&entropy,
			(struct vring_desc){.addr = driver_buffer(0, 0), .len = 4096, .flags = VRING_DESC_F_WRITE});
	assert_int_equal(driver_used_index(&entropy.driver, 0), 4 * DRIVER_RING_SIZE);
	bench_expect_tolerated(entropy.bench);
}

static void case_11_request_without_room(void **state)
{
	struct entropy entropy = start(state, 0);

	request(&entropy, (struct vring_desc){.addr = 0x1000, .len = 0, .flags = VRING_DESC_F_WRITE});
	expect_quarantine(&entropy, "request for entropy has no room for it");
}

static void case_13_request_is_readable(void **state)
{
	struct entropy entropy = start(state, 0);

	request(&entropy, (struct vring_desc){.addr = 0x1000, .len = 64});
	expect_quarantine(&entropy, "request for entropy has no room for it");
}

static void case_1_head_outside_of_queue(void **state)
{
	struct entropy entropy = start(state, 0);

	driver_offer(&entropy.driver, 0, 0x8000);
	driver_kick(&entropy.driver, 0);
	expect_quarantine(&entropy, "descriptor index is outside of the queue");
}

/* ---- UART ---- */

static uint8_t uart_read(struct bench *bench, unsigned int offset)
{
	uint8_t value = 0;

	machine_port_access(ENEMY(bench)->machine, (uint16_t)(PLATFORM_PORT_UART + offset), &value, 1, false);
	return value;
}

static void uart_write(struct bench *bench, unsigned int offset, uint8_t value)
{
	machine_port_access(ENEMY(bench)->machine, (uint16_t)(PLATFORM_PORT_UART + offset), &value, 1, true);
}

static void uart_passes_text(void **state)
{
	static const char text[] = "Linux version 6.1\n";
	struct bench *bench = bench_of(state);

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_true(uart_read(bench, UART_LSR) & UART_LSR_THRE);
		uart_write(bench, UART_TX, (uint8_t)text[i]);
	}
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->uart.size, sizeof(text) - 1);
	assert_memory_equal(ENEMY(bench)->uart.text, text, sizeof(text) - 1);
	assert_int_equal(ENEMY(bench)->uart.lost, 0);
}

/* What Linux does to find out what it is. */
static void uart_is_found_by_a_probe(void **state)
{
	struct bench *bench = bench_of(state);

	uart_write(bench, UART_IER, 0);
	assert_int_equal(uart_read(bench, UART_IER), 0);
	uart_write(bench, UART_IER, 0x0f);
	assert_int_equal(uart_read(bench, UART_IER), 0x0f);
	assert_int_equal(uart_read(bench, UART_IIR) & 0x0f, UART_IIR_THRI);
	assert_int_equal(uart_read(bench, UART_IIR) & 0x0f, UART_IIR_NO_INT);
	uart_write(bench, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(uart_read(bench, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	uart_write(bench, UART_MCR, 0);
	uart_write(bench, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(uart_read(bench, UART_IIR) & 0xc0, 0xc0);
	uart_write(bench, UART_SCR, 0x5a);
	assert_int_equal(uart_read(bench, UART_SCR), 0x5a);
	uart_write(bench, UART_LCR, UART_LCR_DLAB);
	uart_write(bench, UART_DLL, 12);
	assert_int_equal(uart_read(bench, UART_DLL), 12);
	uart_write(bench, UART_LCR, 3);
	assert_int_equal(uart_read(bench, UART_RX), 0);
	bench_settle(bench);
	assert_int_equal(ENEMY(bench)->uart.size, 0);
}

static void wait_for_flood(void *opaque)
{
	struct bench *bench = opaque;

	/* The control loop is busy here, so nothing is handed over meanwhile. */
	for (unsigned int i = 0; i < 1000000; i++)
		uart_write(bench, UART_TX, 'x');
}

static void case_33_serial_flood(void **state)
{
	struct bench *bench = bench_of(state);
	const struct heard *uart = &ENEMY(bench)->uart;

	net_start(ENEMY(bench), 0);
	loop_call(bench->control, wait_for_flood, bench);
	bench_settle(bench);
	/* What is kept is bounded; what was lost is said. */
	assert_in_range(uart->size, 1, 65536);
	assert_int_equal(uart->size + uart->lost, 1000000);
	assert_int_equal(uart->calls, 1);
	bench_expect_tolerated(bench);
}

static void write_flood_in_order(void *opaque)
{
	struct bench *bench = opaque;

	for (unsigned int i = 0; i < 40000; i++)
		uart_write(bench, UART_TX, (uint8_t)(i % 251));
}

/* So whoever is told of them says so behind what was kept. */
static void case_33_serial_flood_loses_the_last_bytes(void **state)
{
	struct bench *bench = bench_of(state);
	const struct heard *uart = &ENEMY(bench)->uart;

	loop_call(bench->control, write_flood_in_order, bench);
	bench_settle(bench);
	assert_int_equal(uart->calls, 1);
	assert_int_equal(uart->size + uart->lost, 40000);
	assert_int_not_equal(uart->lost, 0);
	for (size_t i = 0; i < uart->size; i++)
		assert_int_equal((uint8_t)uart->text[i], i % 251);
	/* Nothing is said twice. */
	uart_write(bench, UART_TX, '!');
	bench_settle(bench);
	assert_int_equal(uart->size + uart->lost, 40001);
	assert_int_equal(uart->text[uart->size - 1], '!');
}

static void uart_accesses_of_any_kind(void **state)
{
	struct bench *bench = bench_of(state);

	net_start(ENEMY(bench), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t value = i * 2654435761u;

		machine_port_access(ENEMY(bench)->machine, (uint16_t)(PLATFORM_PORT_UART + i % 8), &value, 1u << i % 3,
				    i / 8 % 2);
	}
	bench_expect_tolerated(bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(entropy_is_given),
		CASE(entropy_is_given_with_event_indices),
		CASE(case_1_head_outside_of_queue),
		CASE(case_10_request_lengths_sum_beyond_32_bits),
		CASE(case_11_request_without_room),
		CASE(case_13_request_is_readable),
		CASE(case_31_request_for_all_of_memory),
		CASE(case_31_flood_of_requests),
		CASE(uart_passes_text),
		CASE(uart_is_found_by_a_probe),
		CASE(uart_accesses_of_any_kind),
		CASE(case_33_serial_flood),
		CASE(case_33_serial_flood_loses_the_last_bytes),
	};

	return cmocka_run_group_tests_name("hostile/devices", tests, NULL, NULL);
}
