/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/switch.h"

#include <assert.h>
#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Theory of operation
 * -------------------
 * An address is in three places: a bucket of the hash table; the list of all entries by age, from which
 * ageing takes; and its port's list by age, from which eviction takes.  All are linked through the entry,
 * which fills one cache line, and are changed in constant time.
 *
 * Eviction wants the port with most entries.  Ports therefore stand in one list per number of entries, and
 * 'most' is the highest number that has a port.  A port's number changes by one at a time, so when the last
 * port leaves list 'most' downwards, it is in list 'most - 1': finding the port costs nothing, with any
 * number of ports, and in the very situation, a flood, in which it happens for each frame.  (Open vSwitch,
 * which has the same policy for the same reason, keeps a heap.)
 *
 * Frames come in rows, from one station to another.  So before the hash table is asked, the source is looked for at the
 * end of its port's list, and the destination where the port's last frame went.
 *
 * The key is an address and a VLAN, 60 bits, too many for multiply-shift in 64 bits: that is strongly universal only
 * for keys of up to 64 + 1 - 17 = 48 bits, with up to 17 bits of result (Dietzfelbinger 1996).  Its form for vectors
 * is so if each component has no more than 48: (a * address + v * VLAN + b mod 2^64) >> (64 - bits) with random a, v
 * and b.  Whatever addresses and VLANs are chosen without knowing these, two of them meet with probability
 * 1 / buckets.
 */

#define ADDRESS_SIZE 6
#define ADDRESS_BITS 48
#define VLAN_MASK 0xfffu
#define NANOSECONDS 1000000000ull
/* Of an entry that is free. */
#define NO_KEY UINT64_MAX

/* Entries that one call of switch_expire() forgets, so that other work of its thread is not held up. */
#define EXPIRE_BATCH 256

struct switch_entry {
	uint64_t key;  /* The VLAN above the address, which is a number, the first byte highest. */
	uint64_t seen; /* When it last sent. */
	struct switch_port *port;
	struct switch_entry *next; /* In its bucket, or in the list of free entries. */
	TAILQ_ENTRY(switch_entry) by_age;
	TAILQ_ENTRY(switch_entry) by_port_age;
};

static_assert(sizeof(struct switch_entry) == 64, "an entry is one cache line");

LIST_HEAD(switch_ports, switch_port);

struct switch_table {
	uint64_t multiplier, vlan_multiplier, addend; /* The hash's seeds. */
	unsigned int shift;                           /* 64 less the bits of a bucket's number. */
	uint64_t ageing;                              /* Nanoseconds. */
	size_t size;
	_Atomic size_t count;
	struct switch_entry **buckets;
	struct switch_entry *entries, *free;
	TAILQ_HEAD(switch_entries, switch_entry) by_age; /* Longest unseen first. */
	struct switch_ports *by_count;                   /* Ports that have N entries, for N of 1 to 'size'. */
	size_t most;                                     /* Highest N whose list is not empty, or 0. */
};

static uint64_t read_address(const uint8_t *bytes)
{
	uint16_t high;
	uint32_t low;

	memcpy(&high, bytes, sizeof(high));
	memcpy(&low, bytes + sizeof(high), sizeof(low));
	return (uint64_t)be16toh(high) << 32 | be32toh(low);
}

/* The I/G bit, the lowest of the first byte (IEEE Std 802-2014, 8.2). */
static bool is_group(uint64_t address)
{
	return address >> 40 & 1;
}

static bool is_reserved(uint64_t address)
{
	return address >> 4 == 0x0180c2000000ull >> 4;
}

static uint64_t make_key(uint16_t vlan, uint64_t address)
{
	return (uint64_t)(vlan & VLAN_MASK) << ADDRESS_BITS | address;
}

static uint64_t address_of(uint64_t key)
{
	return key & ((1ull << ADDRESS_BITS) - 1);
}

static struct switch_entry **find_bucket(const struct switch_table *table, uint64_t key)
{
	uint64_t hash = table->multiplier * address_of(key) + table->vlan_multiplier * (key >> ADDRESS_BITS);

	return &table->buckets[(hash + table->addend) >> table->shift];
}

static struct switch_entry *find(const struct switch_table *table, uint64_t key)
{
	struct switch_entry *entry = *find_bucket(table, key);

	while (entry && entry->key != key)
		entry = entry->next;
	return entry;
}

bool switch_has_aged(const struct switch_table *table, uint64_t age)
{
	return age >= table->ageing;
}

static bool has_aged(const struct switch_table *table, const struct switch_entry *entry, uint64_t now)
{
	return switch_has_aged(table, now - entry->seen);
}

static int seed(struct switch_table *table)
{
	uint64_t seeds[3];

	/* Requests of up to 256 bytes are never cut short, random(7). */
	if (getrandom(seeds, sizeof(seeds), 0) != (ssize_t)sizeof(seeds))
		return -1;
	table->multiplier = seeds[0];
	table->vlan_multiplier = seeds[1];
	table->addend = seeds[2];
	return 0;
}

struct switch_table *switch_create(size_t size, unsigned int ageing)
{
	struct switch_table *table;
	unsigned int bits = 1;

	if (size > SWITCH_TABLE_SIZE_MAX || ageing == 0)
		return NULL;
	while ((size_t)1 << bits < size)
		bits++;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->shift = 64 - bits;
	table->ageing = ageing * NANOSECONDS;
	table->size = size;
	table->buckets = calloc((size_t)1 << bits, sizeof(struct switch_entry *));
	table->entries = aligned_alloc(64, (size + 1) * sizeof(struct switch_entry));
	table->by_count = calloc(size + 1, sizeof(struct switch_ports));
	if (!table->buckets || !table->entries || !table->by_count || seed(table) < 0) {
		switch_destroy(table);
		return NULL;
	}
	TAILQ_INIT(&table->by_age);
	for (size_t i = 0; i < size; i++) {
		table->entries[i].next = table->free;
		table->free = &table->entries[i];
	}
	return table;
}

void switch_destroy(struct switch_table *table)
{
	if (!table)
		return;
	free(table->buckets);
	free(table->entries);
	free(table->by_count);
	free(table);
}

void switch_port_init(struct switch_port *port)
{
	TAILQ_INIT(&port->entries);
	port->count = 0;
	port->towards = NULL;
}

static void set_port_count(struct switch_table *table, struct switch_port *port, size_t count)
{
	if (port->count > 0)
		LIST_REMOVE(port, same_count);
	port->count = count;
	if (count > 0)
		LIST_INSERT_HEAD(&table->by_count[count], port, same_count);
	if (count > table->most)
		table->most = count;
	while (table->most > 0 && LIST_EMPTY(&table->by_count[table->most]))
		table->most--;
}

static void set_count(struct switch_table *table, size_t count)
{
	atomic_store_explicit(&table->count, count, memory_order_relaxed);
}

static void attach(struct switch_table *table, struct switch_entry *entry, struct switch_port *port)
{
	entry->port = port;
	TAILQ_INSERT_TAIL(&port->entries, entry, by_port_age);
	set_port_count(table, port, port->count + 1);
}

static void detach(struct switch_table *table, struct switch_entry *entry)
{
	TAILQ_REMOVE(&entry->port->entries, entry, by_port_age);
	set_port_count(table, entry->port, entry->port->count - 1);
}

static void forget(struct switch_table *table, struct switch_entry *entry)
{
	struct switch_entry **at = find_bucket(table, entry->key);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	TAILQ_REMOVE(&table->by_age, entry, by_age);
	detach(table, entry);
	entry->key = NO_KEY;
	entry->next = table->free;
	table->free = entry;
	set_count(table, switch_count(table) - 1);
}

/* Makes room for an address from 'port' in a full table. */
static void evict(struct switch_table *table, struct switch_port *port, uint64_t now)
{
	struct switch_entry *oldest = TAILQ_FIRST(&table->by_age);

	if (has_aged(table, oldest, now)) {
		forget(table, oldest);
		return;
	}
	/* Of ports that have equally many, the one that wants more pays for it. */
	if (port->count < table->most)
		port = LIST_FIRST(&table->by_count[table->most]);
	forget(table, TAILQ_FIRST(&port->entries));
}

static void add(struct switch_table *table, struct switch_port *port, uint64_t key, uint64_t now)
{
	struct switch_entry **bucket = find_bucket(table, key);
	struct switch_entry *entry;

	if (table->size == 0)
		return;
	if (!table->free)
		evict(table, port, now);
	entry = table->free;
	table->free = entry->next;
	entry->key = key;
	entry->seen = now;
	entry->next = *bucket;
	*bucket = entry;
	TAILQ_INSERT_TAIL(&table->by_age, entry, by_age);
	attach(table, entry, port);
	set_count(table, switch_count(table) + 1);
}

static void refresh(struct switch_table *table, struct switch_entry *entry, struct switch_port *port, uint64_t now)
{
	entry->seen = now;
	/* A station that sends a row of frames is in its place already. */
	if (TAILQ_NEXT(entry, by_age)) {
		TAILQ_REMOVE(&table->by_age, entry, by_age);
		TAILQ_INSERT_TAIL(&table->by_age, entry, by_age);
	}
	if (entry->port != port) {
		detach(table, entry);
		attach(table, entry, port);
	} else if (TAILQ_NEXT(entry, by_port_age)) {
		TAILQ_REMOVE(&port->entries, entry, by_port_age);
		TAILQ_INSERT_TAIL(&port->entries, entry, by_port_age);
	}
}

static inline void learn(struct switch_table *table, struct switch_port *port, uint64_t key, uint64_t now)
{
	struct switch_entry *entry = TAILQ_LAST(&port->entries, switch_port_entries);

	if (entry && entry->key == key) {
		refresh(table, entry, port, now);
		return;
	}
	if (is_group(address_of(key)) || address_of(key) == 0)
		return;
	entry = find(table, key);
	if (entry)
		refresh(table, entry, port, now);
	else
		add(table, port, key, now);
}

static struct switch_port *lookup(const struct switch_table *table, uint64_t key, uint64_t now)
{
	const struct switch_entry *entry = find(table, key);

	return entry && !has_aged(table, entry, now) ? entry->port : NULL;
}

/* The same for a frame that came from 'from'. */
static struct switch_port *lookup_from(const struct switch_table *table, struct switch_port *from, uint64_t key,
				       uint64_t now)
{
	struct switch_entry *entry = from->towards;

	if (!entry || entry->key != key)
		from->towards = entry = find(table, key);
	return entry && !has_aged(table, entry, now) ? entry->port : NULL;
}

struct switch_port *switch_lookup(const struct switch_table *table, uint16_t vlan, const uint8_t *address, uint64_t now)
{
	return lookup(table, make_key(vlan, read_address(address)), now);
}

enum switch_decision switch_frame(struct switch_table *table, struct switch_port *from, uint16_t vlan,
				  const uint8_t *header, uint64_t now, struct switch_port **to)
{
	uint64_t destination = read_address(header);

	/* Frames that are not forwarded teach as well (7.8). */
	learn(table, from, make_key(vlan, read_address(header + ADDRESS_SIZE)), now);
	if (is_reserved(destination))
		return SWITCH_RESERVED;
	if (is_group(destination))
		return SWITCH_FLOOD;
	*to = lookup_from(table, from, make_key(vlan, destination), now);
	if (!*to)
		return SWITCH_FLOOD;
	return *to == from ? SWITCH_SAME_PORT : SWITCH_FORWARD;
}

void switch_for_each(const struct switch_table *table,
		     void (*function)(void *opaque, const struct switch_station *station), void *opaque)
{
	const struct switch_entry *entry;

	TAILQ_FOREACH(entry, &table->by_age, by_age) {
		const struct switch_station station = {.address = address_of(entry->key),
						       .vlan = (uint16_t)(entry->key >> ADDRESS_BITS),
						       .port = entry->port,
						       .seen = entry->seen};

		function(opaque, &station);
	}
}

void switch_learn(struct switch_table *table, const struct switch_station *station)
{
	learn(table, station->port, make_key(station->vlan, station->address), station->seen);
}

void switch_forget_port(struct switch_table *table, struct switch_port *port)
{
	while (!TAILQ_EMPTY(&port->entries))
		forget(table, TAILQ_FIRST(&port->entries));
	port->towards = NULL; /* It may be joined to another table. */
}

void switch_flush(struct switch_table *table)
{
	while (!TAILQ_EMPTY(&table->by_age))
		forget(table, TAILQ_FIRST(&table->by_age));
}

uint64_t switch_expire(struct switch_table *table, uint64_t now)
{
	struct switch_entry *oldest;

	for (int i = 0; i < EXPIRE_BATCH; i++) {
		oldest = TAILQ_FIRST(&table->by_age);
		if (!oldest || !has_aged(table, oldest, now))
			break;
		forget(table, oldest);
	}
	oldest = TAILQ_FIRST(&table->by_age);
	if (!oldest)
		return 0;
	return has_aged(table, oldest, now) ? now : oldest->seen + table->ageing;
}

size_t switch_count(const struct switch_table *table)
{
	return atomic_load_explicit(&table->count, memory_order_relaxed);
}
