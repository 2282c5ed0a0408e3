/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/receive_filter.h"

#include <linux/virtio_net.h>

#include "core/state.h"
#include "devices/virtqueue.h"

#define TAG_RECEIVE_FILTER STATE_TAG('r', 'x', 'f', 'i')

/* Class and number of a command as one. */
#define COMMAND(class, number) ((class) * 256 + (number))

#define ADDRESS_SIZE 6
#define BROADCAST 0xffffffffffffull
#define GROUP_BIT (1ull << 40) /* The lowest bit of the first byte (IEEE Std 802, 8.2). */

static uint64_t address_of(const uint8_t *bytes)
{
	uint64_t address = 0;

	for (unsigned int i = 0; i < ADDRESS_SIZE; i++)
		address = address << 8 | bytes[i];
	return address;
}

void receive_filter_reset(struct receive_filter *filter, const uint8_t mac[6])
{
	*filter = (struct receive_filter){.station = address_of(mac), .promiscuous = 1};
}

bool receive_filter_passes(const struct receive_filter *filter, const uint8_t *destination)
{
	uint64_t address = address_of(destination);

	if (filter->promiscuous || filter->overflowed || address == filter->station || address == BROADCAST)
		return true;
	if (filter->all_multicast && (address & GROUP_BIT))
		return true;
	for (uint32_t i = 0; i < filter->address_count; i++) {
		if (filter->addresses[i] == address)
			return true;
	}
	return false;
}

static bool read_switch(struct iov_cursor *command, size_t size, uint8_t *value)
{
	uint8_t byte;

	if (size != 1 || iov_read(command, &byte, 1) != 1)
		return false;
	*value = byte != 0;
	return true;
}

/* One of the two tables: a count and as many addresses.  '*size' is what is left of the command. */
static bool read_table(struct receive_filter *filter, struct iov_cursor *command, size_t *size)
{
	uint8_t bytes[ADDRESS_SIZE];
	uint32_t count; /* Little-endian, as is the host. */

	if (*size < sizeof(count) || iov_read(command, &count, sizeof(count)) != sizeof(count))
		return false;
	*size -= sizeof(count);
	if (count > *size / ADDRESS_SIZE)
		return false;
	*size -= (size_t)count * ADDRESS_SIZE;
	if (count > RECEIVE_FILTER_ADDRESSES_MAX - filter->address_count) {
		filter->overflowed = 1;
		return iov_skip(command, (size_t)count * ADDRESS_SIZE) == (size_t)count * ADDRESS_SIZE;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (iov_read(command, bytes, sizeof(bytes)) != sizeof(bytes))
			return false;
		filter->addresses[filter->address_count++] = address_of(bytes);
	}
	return true;
}

static bool set_tables(struct receive_filter *filter, struct iov_cursor *command, size_t size)
{
	struct receive_filter changed = {
		.station = filter->station,
		.promiscuous = filter->promiscuous,
		.all_multicast = filter->all_multicast,
	};

	for (unsigned int table = 0; table < 2; table++) { /* Unicast, then multicast. */
		if (!read_table(&changed, command, &size))
			return false;
	}
	if (size != 0)
		return false;
	*filter = changed;
	return true;
}

static bool set_station(struct receive_filter *filter, struct iov_cursor *command, size_t size)
{
	uint8_t bytes[ADDRESS_SIZE];

	if (size != sizeof(bytes) || iov_read(command, bytes, sizeof(bytes)) != sizeof(bytes))
		return false;
	filter->station = address_of(bytes);
	return true;
}

static bool set_promiscuous(struct receive_filter *filter, struct iov_cursor *command, size_t size)
{
	return read_switch(command, size, &filter->promiscuous);
}

static bool set_all_multicast(struct receive_filter *filter, struct iov_cursor *command, size_t size)
{
	return read_switch(command, size, &filter->all_multicast);
}

bool receive_filter_command(struct receive_filter *filter, struct iov_cursor *command, size_t size)
{
	static const struct {
		struct virtio_net_ctrl_hdr header;
		bool (*function)(struct receive_filter *filter, struct iov_cursor *command, size_t size);
	} commands[] = {
		{{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC}, set_promiscuous},
		{{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI}, set_all_multicast},
		{{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET}, set_tables},
		{{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET}, set_station},
	};
	struct virtio_net_ctrl_hdr header;

	if (size < sizeof(header) || iov_read(command, &header, sizeof(header)) != sizeof(header))
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].header.class == header.class && commands[i].header.cmd == header.cmd)
			return commands[i].function(filter, command, size - sizeof(header));
	}
	return false;
}

void receive_filter_save(const struct receive_filter *filter, struct state *state)
{
	state_put(state, TAG_RECEIVE_FILTER, filter, sizeof(*filter));
}

void receive_filter_restore(struct receive_filter *filter, struct state *state)
{
	struct receive_filter saved;

	if (!state_get(state, TAG_RECEIVE_FILTER, &saved, sizeof(saved)) ||
	    saved.address_count > RECEIVE_FILTER_ADDRESSES_MAX) {
		state->bad = true;
		return;
	}
	*filter = saved;
}
