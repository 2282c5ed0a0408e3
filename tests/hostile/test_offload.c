/* SPDX-License-Identifier: Apache-2.0 */

/* virtio-net with offloads: what a driver that behaves leaves undone is told to others as it is, and one that lies
 * loses its own frames. */

#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"
#include "devices/offload.h"

#define F(name) (1ull << VIRTIO_NET_F_##name)
#define SENDS (F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN))
#define RECEIVES (F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN))
#define MERGEABLE F(MRG_RXBUF)

#define CHECKSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCPV4 VIRTIO_NET_HDR_GSO_TCPV4
#define TCPV6 VIRTIO_NET_HDR_GSO_TCPV6
#define ECN VIRTIO_NET_HDR_GSO_ECN

#define SIZE 1500

/* A frame with TCP, no more of it than is looked at. */
struct sample {
	uint8_t bytes[SIZE];
	uint16_t tcp, headers;
};

static struct sample make_sample(bool is_v6, unsigned int tcp_size)
{
	struct sample sample = {.tcp = is_v6 ? 54 : 34};

	for (size_t i = 0; i < SIZE; i++)
		sample.bytes[i] = (uint8_t)i;
	sample.headers = (uint16_t)(sample.tcp + tcp_size);
	memcpy(sample.bytes + 12, is_v6 ? "\x86\xdd\x60" : "\x08\x00\x45", 3);
	sample.bytes[is_v6 ? 14 + 6 : 14 + 9] = 6;
	memset(sample.bytes + 14 + 6, is_v6 ? 6 : 0, 2);
	sample.bytes[sample.tcp + 12] = (uint8_t)(tcp_size / 4 << 4);
	return sample;
}

static struct virtio_net_hdr_mrg_rxbuf header_of(const struct sample *sample, uint8_t type, uint16_t segment)
{
	return (struct virtio_net_hdr_mrg_rxbuf){.hdr = {.flags = CHECKSUM,
							 .gso_type = type,
							 .hdr_len = sample->headers,
							 .gso_size = segment,
							 .csum_start = sample->tcp,
							 .csum_offset = 16}};
}

static struct guest *start(void **state, uint64_t features)
{
	struct bench *bench = bench_of(state);

	net_start(ENEMY(bench), features);
	return ENEMY(bench);
}

static void expect_passed(const struct guest *guest, unsigned int frames, const struct sample *sample,
			  const struct frame_offload *offload)
{
	assert_int_equal(guest->wire.refused[VIRTIO_NET_OFFLOAD], 0);
	assert_int_equal(guest->wire.frames, frames);
	assert_int_equal(guest->wire.size, SIZE);
	assert_memory_equal(guest->wire.frame, sample->bytes, SIZE);
	assert_int_equal(guest->wire.offload.checksum_start, offload->checksum_start);
	assert_int_equal(guest->wire.offload.checksum_offset, offload->checksum_offset);
	assert_int_equal(guest->wire.offload.segment_size, offload->segment_size);
	assert_int_equal(guest->wire.offload.header_size, offload->header_size);
	assert_int_equal(guest->wire.offload.segmentation, offload->segmentation);
	assert_int_equal(guest->wire.offload.has_ecn, offload->has_ecn);
}

/* ---- Drivers that behave ---- */

static void what_is_undone_is_told(void **state)
{
	struct guest *guest = start(state, SENDS);
	struct sample v4 = make_sample(false, 20), v6 = make_sample(true, 60);
	struct virtio_net_hdr_mrg_rxbuf header = header_of(&v4, VIRTIO_NET_HDR_GSO_NONE, 0);

	net_send(guest, &header, v4.bytes, SIZE);
	expect_passed(guest, 1, &v4, &(const struct frame_offload){.checksum_start = 34, .checksum_offset = 16});
	header = header_of(&v4, TCPV4 | ECN, 500);
	net_send(guest, &header, v4.bytes, SIZE);
	expect_passed(guest, 2, &v4,
		      &(const struct frame_offload){.checksum_start = 34,
						    .checksum_offset = 16,
						    .segment_size = 500,
						    .header_size = 54,
						    .segmentation = FRAME_TCPV4,
						    .has_ecn = true});
	header = header_of(&v6, TCPV6, 9);
	net_send(guest, &header, v6.bytes, SIZE); /* With headers longer than FRAME_HEADER_SIZE. */
	expect_passed(guest, 3, &v6,
		      &(const struct frame_offload){.checksum_start = 54,
						    .checksum_offset = 16,
						    .segment_size = 9,
						    .header_size = 114,
						    .segmentation = FRAME_TCPV6});
	net_send(guest, NULL, v4.bytes, SIZE);
	expect_passed(guest, 4, &v4, &(const struct frame_offload){0});
	bench_expect_tolerated(guest->bench);
}

/* Its pieces may be of any length. */
static void headers_in_many_pieces(void **state)
{
	struct guest *guest = start(state, SENDS);
	struct sample sample = make_sample(true, 60);
	struct virtio_net_hdr_mrg_rxbuf header = header_of(&sample, TCPV6, 1000);
	const uint64_t buffer = driver_buffer(NET_TRANSMIT, 0);
	uint8_t *to = driver_memory(&guest->nic, buffer, DRIVER_BUFFER_SIZE);

	memcpy(to, &header, NET_HEADER);
	memcpy(to + NET_HEADER, sample.bytes, SIZE);
	for (unsigned int i = 0; i < 40; i++)
		driver_describe(&guest->nic, NET_TRANSMIT, i,
				(struct vring_desc){.addr = buffer + 5 * i,
						    .len = i < 39 ? 5 : NET_HEADER + SIZE - 5 * 39,
						    .flags = i < 39 ? VRING_DESC_F_NEXT : 0,
						    .next = (uint16_t)(i + 1)});
	driver_offer(&guest->nic, NET_TRANSMIT, 0);
	driver_kick(&guest->nic, NET_TRANSMIT);
	bench_settle(guest->bench);
	expect_passed(guest, 1, &sample,
		      &(const struct frame_offload){.checksum_start = 54,
						    .checksum_offset = 16,
						    .segment_size = 1000,
						    .header_size = 114,
						    .segmentation = FRAME_TCPV6});
	bench_expect_tolerated(guest->bench);
}

static struct virtio_net_hdr_mrg_rxbuf received(struct guest *guest, const struct sample *sample,
						const struct frame_offload *offload)
{
	unsigned int index = guest->nic.queues[NET_RECEIVE].next_available % DRIVER_RING_SIZE;
	const uint8_t *buffer = driver_memory(&guest->nic, driver_buffer(NET_RECEIVE, index), DRIVER_BUFFER_SIZE);
	struct virtio_net_hdr_mrg_rxbuf header;

	net_post(guest, index, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver_offloaded(guest, sample->bytes, SIZE, offload), VIRTIO_NET_DELIVERED);
	memcpy(&header, buffer, sizeof(header));
	assert_int_equal(header.num_buffers, 1);
	assert_memory_equal(buffer + NET_HEADER, sample->bytes, SIZE);
	return header;
}

static void drivers_are_told_what_is_undone(void **state)
{
	struct guest *guest = start(state, RECEIVES);
	struct sample sample = make_sample(true, 60);
	struct frame_offload offload = {.checksum_start = 54, .checksum_offset = 16};
	struct virtio_net_hdr_mrg_rxbuf header = received(guest, &sample, &offload), expected;

	expected = (struct virtio_net_hdr_mrg_rxbuf){.hdr = {.flags = CHECKSUM, .csum_start = 54, .csum_offset = 16},
						     .num_buffers = 1};
	assert_memory_equal(&header, &expected, sizeof(header));
	offload.segment_size = 1000;
	offload.header_size = 114;
	offload.segmentation = FRAME_TCPV6;
	header = received(guest, &sample, &offload);
	expected = header_of(&sample, TCPV6, 1000);
	expected.num_buffers = 1;
	assert_memory_equal(&header, &expected, sizeof(header));
	offload.segmentation = FRAME_TCPV4;
	offload.has_ecn = true;
	header = received(guest, &sample, &offload);
	expected = header_of(&sample, TCPV4 | ECN, 1000);
	expected.num_buffers = 1;
	assert_memory_equal(&header, &expected, sizeof(header));
	offload = (struct frame_offload){0};
	header = received(guest, &sample, &offload);
	expected = (struct virtio_net_hdr_mrg_rxbuf){.num_buffers = 1};
	assert_memory_equal(&header, &expected, sizeof(header));
}

static void drivers_get_what_they_negotiated(void **state)
{
	static const struct {
		uint64_t features;
		struct frame_offload offload;
		bool takes;
	} cases[] = {
		{0, {.checksum_start = 34}, false},
		{SENDS, {.checksum_start = 34}, false},
		{F(GUEST_CSUM), {.checksum_start = 34}, true},
		{F(GUEST_CSUM), {.checksum_start = 34, .segment_size = 9, .segmentation = FRAME_TCPV4}, false},
		{F(GUEST_CSUM) | F(GUEST_TSO4),
		 {.checksum_start = 34, .segment_size = 9, .segmentation = FRAME_TCPV4},
		 true},
		{F(GUEST_CSUM) | F(GUEST_TSO4),
		 {.checksum_start = 34, .segment_size = 9, .segmentation = FRAME_TCPV6},
		 false},
		{F(GUEST_CSUM) | F(GUEST_TSO6),
		 {.checksum_start = 34, .segment_size = 9, .segmentation = FRAME_TCPV6},
		 true},
		{F(GUEST_CSUM) | F(GUEST_TSO4),
		 {.checksum_start = 34, .segment_size = 9, .segmentation = FRAME_TCPV4, .has_ecn = true},
		 false},
		{F(GUEST_TSO4), {.checksum_start = 34, .segment_size = 9, .segmentation = FRAME_TCPV4}, false},
	};
	struct sample sample = make_sample(false, 20);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guest *guest = start(state, cases[i].features);

		net_post(guest, 0, DRIVER_BUFFER_SIZE);
		assert_int_equal(net_deliver_offloaded(guest, sample.bytes, SIZE, &cases[i].offload),
				 cases[i].takes ? VIRTIO_NET_DELIVERED : VIRTIO_NET_NOT_READY);
		assert_int_equal(driver_used_index(&guest->nic, NET_RECEIVE), cases[i].takes);
	}
}

/* It is the segments that must not be longer. */
static void segments_go_by_the_mtu(void **state)
{
	struct guest *guest = start(state, RECEIVES | MERGEABLE);
	static uint8_t bytes[FRAME_SIZE_MAX];
	struct frame_offload offload = {.checksum_start = 34,
					.checksum_offset = 16,
					.segment_size = BENCH_MTU - 40 + 8, /* Two tags may be in it. */
					.header_size = 54,
					.segmentation = FRAME_TCPV4};
	struct virtio_net_hdr_mrg_rxbuf header;

	for (unsigned int i = 0; i < 40; i++)
		net_post(guest, i, DRIVER_BUFFER_SIZE);
	assert_int_equal(net_deliver_offloaded(guest, bytes, sizeof(bytes), &offload), VIRTIO_NET_DELIVERED);
	memcpy(&header, driver_memory(&guest->nic, driver_buffer(NET_RECEIVE, 0), sizeof(header)), sizeof(header));
	assert_int_equal(header.num_buffers,
			 (FRAME_SIZE_MAX + NET_HEADER + DRIVER_BUFFER_SIZE - 1) / DRIVER_BUFFER_SIZE);
	offload.segment_size++;
	assert_int_equal(net_deliver_offloaded(guest, bytes, sizeof(bytes), &offload), VIRTIO_NET_MTU);
	assert_int_equal(net_deliver_offloaded(guest, bytes, BENCH_MTU + 22, &offload), VIRTIO_NET_DELIVERED);
	net_start(guest, 0);
	bench_expect_tolerated(guest->bench);
}

/* ---- Drivers that do not ---- */

struct lie {
	struct virtio_net_hdr header;
	uint64_t without; /* Features. */
};

static void expect_refused(void **state, const struct sample *sample, const struct lie *lies, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct virtio_net_hdr_mrg_rxbuf header = {.hdr = lies[i].header};
		struct guest *guest = start(state, SENDS & ~lies[i].without);

		net_send(guest, &header, sample->bytes, SIZE);
		assert_int_equal(guest->wire.refused[VIRTIO_NET_OFFLOAD], i + 1);
		assert_int_equal(guest->wire.frames, 0);
		assert_int_equal(guest->wire.size, SIZE);
		assert_memory_equal(guest->wire.frame, sample->bytes, SIZE);
		assert_false(guest->wire.offload.checksum_start || guest->wire.offload.segment_size);
	}
	net_start(ENEMY(bench_of(state)), 0);
	bench_expect_tolerated(bench_of(state));
}

static void case_22_checksum_outside_of_the_frame(void **state)
{
	static const struct lie lies[] = {
		{{.flags = CHECKSUM, .csum_start = SIZE}, 0},
		{{.flags = CHECKSUM, .csum_start = SIZE - 1}, 0},
		{{.flags = CHECKSUM, .csum_start = 34, .csum_offset = SIZE - 34 - 1}, 0},
		{{.flags = CHECKSUM, .csum_start = 0xffff, .csum_offset = 0xffff}, 0},
		{{.flags = CHECKSUM, .csum_start = 34, .csum_offset = 0xfffe}, 0},
		{{.flags = CHECKSUM, .csum_start = 0, .csum_offset = 16}, 0},
		{{.flags = CHECKSUM, .csum_start = 13, .csum_offset = 16}, 0},
		{{.flags = CHECKSUM | 0x80, .csum_start = 34, .csum_offset = 16}, 0},
		{{.flags = CHECKSUM | VIRTIO_NET_HDR_F_DATA_VALID, .csum_start = 34, .csum_offset = 16}, 0},
		{{.flags = VIRTIO_NET_HDR_F_DATA_VALID}, 0},
	};
	struct sample sample = make_sample(false, 20);

	expect_refused(state, &sample, lies, sizeof(lies) / sizeof(lies[0]));
}

#define GOOD .flags = CHECKSUM, .csum_start = 34, .csum_offset = 16

static void case_23_segments_that_cannot_be(void **state)
{
	static const struct lie lies[] = {
		{{GOOD, .gso_type = TCPV4, .gso_size = 0}, 0},
		{{GOOD, .gso_type = ECN, .gso_size = 500}, 0},
		{{GOOD, .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 500}, 0},
		{{GOOD, .gso_type = 5, .gso_size = 500}, 0}, /* UDP_L4, of later versions. */
		{{GOOD, .gso_type = 0x7f, .gso_size = 500}, 0},
		{{GOOD, .gso_type = TCPV4 | 0x40, .gso_size = 500}, 0},
		{{GOOD, .gso_type = TCPV6, .gso_size = 500}, 0},
		{{.gso_type = TCPV4, .gso_size = 500}, 0},
		{{.flags = VIRTIO_NET_HDR_F_DATA_VALID, .gso_type = TCPV4, .gso_size = 500}, 0},
		{{.flags = CHECKSUM, .gso_type = TCPV4, .gso_size = 500, .csum_start = 54, .csum_offset = 16}, 0},
		{{.flags = CHECKSUM, .gso_type = TCPV4, .gso_size = 500, .csum_start = 34, .csum_offset = 6}, 0},
	};
	struct sample sample = make_sample(false, 20);

	expect_refused(state, &sample, lies, sizeof(lies) / sizeof(lies[0]));
}

static void case_24_some_not_negotiated(void **state)
{
	static const struct lie lies[] = {
		{{GOOD}, F(CSUM)},
		{{GOOD, .gso_type = TCPV4, .gso_size = 500}, F(CSUM)},
		{{GOOD, .gso_type = TCPV4, .gso_size = 500}, F(HOST_TSO4)},
		{{GOOD, .gso_type = TCPV4 | ECN, .gso_size = 500}, F(HOST_ECN)},
	};
	static const struct lie v6 =
		{{.flags = CHECKSUM, .gso_type = TCPV6, .gso_size = 500, .csum_start = 54, .csum_offset = 16},
		 F(HOST_TSO6)};
	struct sample sample = make_sample(false, 20);

	expect_refused(state, &sample, lies, sizeof(lies) / sizeof(lies[0]));
	sample = make_sample(true, 20);
	ENEMY(bench_of(state))->wire.refused[VIRTIO_NET_OFFLOAD] = 0;
	ENEMY(bench_of(state))->wire.frames = 0;
	expect_refused(state, &sample, &v6, 1);
}

/* It is a hint, which is never taken (5.1.6.2.2). */
static void length_of_headers_is_a_lie(void **state)
{
	static const uint16_t lengths[] = {0, 1, 53, 55, SIZE, 0xffff};
	struct guest *guest = start(state, SENDS);
	struct sample sample = make_sample(false, 20);

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct virtio_net_hdr_mrg_rxbuf header = header_of(&sample, TCPV4, 500);

		header.hdr.hdr_len = lengths[i];
		net_send(guest, &header, sample.bytes, SIZE);
		assert_int_equal(guest->wire.frames, i + 1);
		assert_int_equal(guest->wire.offload.header_size, 54);
	}
	bench_expect_tolerated(guest->bench);
}

/* A guest may not have others do more than so much for a frame. */
static void more_segments_than_may_be(void **state)
{
	struct guest *guest = start(state, SENDS);
	struct sample sample = make_sample(false, 20);
	struct virtio_net_hdr_mrg_rxbuf header = header_of(&sample, TCPV4, 1);
	struct driver *nic = &guest->nic;
	const uint32_t part = 0x600;

	net_send(guest, &header, sample.bytes, SIZE);
	assert_int_equal(guest->wire.frames, 1);
	for (unsigned int i = 0; i < 4; i++)
		driver_describe(nic, NET_TRANSMIT, i,
				(struct vring_desc){.addr = driver_buffer(NET_TRANSMIT, 0),
						    .len = part,
						    .flags = i < 3 ? VRING_DESC_F_NEXT : 0,
						    .next = (uint16_t)(i + 1)});
	driver_offer(nic, NET_TRANSMIT, 0);
	driver_kick(nic, NET_TRANSMIT);
	bench_settle(guest->bench);
	assert_int_equal(guest->wire.refused[VIRTIO_NET_OFFLOAD], 1);
	assert_int_equal(guest->wire.frames, 1);
	bench_expect_tolerated(guest->bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_undone_is_told),          CASE(headers_in_many_pieces),
		CASE(drivers_are_told_what_is_undone), CASE(drivers_get_what_they_negotiated),
		CASE(segments_go_by_the_mtu),          CASE(case_22_checksum_outside_of_the_frame),
		CASE(case_23_segments_that_cannot_be), CASE(case_24_some_not_negotiated),
		CASE(length_of_headers_is_a_lie),      CASE(more_segments_than_may_be),
	};

	return cmocka_run_group_tests_name("hostile/offload", tests, NULL, NULL);
}
