/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_RECEIVE_FILTER_H
#define DEVICES_RECEIVE_FILTER_H 1

/* Receive filter of a NIC (virtio 1.2, 5.1.6.5.1 and 5.1.6.5.2)
 * ==============================================================
 *
 * Which frames of those on its wire a NIC gives its guest, by their destination: its own address, broadcast, and the
 * unicast and multicast addresses its driver has named; or all multicast, or all.  A guest is spared what is not for
 * it, which on a network with many nodes is most of what there is: each node's neighbour discovery goes to all others.
 *
 * The driver sets it by commands.  Until the first one everything passes, and so it does when the driver names more
 * addresses than there is room for, as the specification allows.
 *
 * Thread-safety: a filter belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iov_cursor;
struct state;

/* Addresses a driver may name before everything passes. */
#define RECEIVE_FILTER_ADDRESSES_MAX 64

/* Addresses as numbers: the first byte on the wire is the highest of six. */
struct receive_filter {
	uint64_t station;
	uint64_t addresses[RECEIVE_FILTER_ADDRESSES_MAX];
	uint32_t address_count;
	uint8_t promiscuous, all_multicast, overflowed; /* 0 or 1. */
};

/* Everything passes; the NIC's own address is 'mac'. */
void receive_filter_reset(struct receive_filter *filter, const uint8_t mac[6]);

/* 'destination' has the first 6 bytes of the frame. */
bool receive_filter_passes(const struct receive_filter *filter, const uint8_t *destination);

/* Does a command of the control queue, 'size' bytes with its class and number first.  Returns false, and changes
 * nothing, for one that is unknown or malformed. */
bool receive_filter_command(struct receive_filter *filter, struct iov_cursor *command, size_t size);

void receive_filter_save(const struct receive_filter *filter, struct state *state);
void receive_filter_restore(struct receive_filter *filter, struct state *state);

#endif /* receive_filter.h */
