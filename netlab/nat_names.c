/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *find_station(const struct nat_name_table *table, const uint8_t *mac)
{
	for (size_t i = 0; i < table->station_count; i++)
		if (!memcmp(table->stations[i].mac, mac, sizeof(table->stations[i].mac)))
			return table->stations[i].name;
	return NULL;
}

/* Makes the records that follow from leases anew; there is room for all of them. */
static void name_leases(struct nat_name_table *table)
{
	table->record_count = table->given_count;
	for (size_t i = 0; table->records && i < table->lease_count; i++) {
		const char *name = find_station(table, table->leases[i].mac);
		struct nat_dns_record *record = &table->records[table->record_count];

		if (!name)
			continue;
		*record = (struct nat_dns_record){.name = name, .family = AF_INET};
		memcpy(record->address, &table->leases[i].address, sizeof(table->leases[i].address));
		table->record_count++;
	}
}

int nat_name_table_set(struct nat_name_table *table, const struct nat_names *names)
{
	struct nat_dns_record *records = calloc(names->record_count + NAT_LEASES_MAX, sizeof(*records));
	struct nat_station *stations = calloc(names->station_count + 1, sizeof(*stations));

	if (!records || !stations) {
		free(records);
		free(stations);
		return -ENOMEM;
	}
	if (names->record_count > 0)
		memcpy(records, names->records, names->record_count * sizeof(*records));
	if (names->station_count > 0)
		memcpy(stations, names->stations, names->station_count * sizeof(*stations));
	free(table->records);
	free(table->stations);
	table->records = records;
	table->given_count = names->record_count;
	table->stations = stations;
	table->station_count = names->station_count;
	name_leases(table);
	return 0;
}

void nat_name_table_add_lease(struct nat_name_table *table, const struct nat_lease *lease)
{
	size_t i = 0;

	while (i < table->lease_count && memcmp(table->leases[i].mac, lease->mac, sizeof(lease->mac)) != 0)
		i++;
	if (i == NAT_LEASES_MAX)
		return;
	table->leases[i] = *lease;
	if (i == table->lease_count)
		table->lease_count++;
	name_leases(table);
}

void nat_name_table_forget_leases(struct nat_name_table *table)
{
	table->lease_count = 0;
	name_leases(table);
}

void nat_name_table_clear(struct nat_name_table *table)
{
	free(table->records);
	free(table->stations);
	*table = (struct nat_name_table){.records = NULL};
}
