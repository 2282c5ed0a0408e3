/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <stdlib.h>
#include <string.h>

#include "netlab/capture.h"
#include "netlab/capture_recorder.h"

/* "capture:" at the top level: what is written down of the lab, and how much is kept in memory. */

#define SECOND 1000000000ull
#define DAY (24 * 3600 * SECOND)

#define SNAP_LEN_MIN 14 /* An Ethernet header. */
#define SNAP_LEN_MAX 262144
#define ROTATE_SIZE_MIN (1ull << 20)
#define ROTATE_SIZE_MAX (1ull << 44)
#define ROTATE_FILES_MAX 99999

/* Reads a size of at least 'minimum' bytes and at most 'maximum', if the key is there. */
static void read_size(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key,
		      uint64_t minimum, uint64_t maximum, uint64_t *bytes)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, key) : NULL;
	const char *problem;
	uint64_t size;

	if (!text)
		return;
	problem = topology_parse_size(text, &size);
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" %s", key, text, problem);
	else if (size < minimum || size > maximum)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" must be from %lluM to %lluM", key, text,
				  (unsigned long long)minimum >> 20, (unsigned long long)maximum >> 20);
	else
		*bytes = size;
}

static void read_number(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key,
			unsigned long minimum, unsigned long maximum, uint32_t *to)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	unsigned long number;

	if (pair && yaml_reader_number(&reader->yaml, pair->value, key, minimum, maximum, &number))
		*to = (uint32_t)number;
}

static void read_switch(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key, bool *to)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);

	if (pair)
		yaml_reader_switch(&reader->yaml, pair->value, key, to);
}

static void read_rotate_time(struct topology_reader *reader, const struct yaml_tree_node *map, uint64_t *seconds)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "time");
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, "time") : NULL;
	const char *problem;
	uint64_t time;

	if (!text)
		return;
	problem = topology_parse_time(text, &time);
	if (!problem && (time < SECOND || time > 365 * DAY || time % SECOND))
		problem = "must be whole seconds, from 1s to a year";
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "time \"%s\" %s", text, problem);
	else
		*seconds = time / SECOND;
}

static void read_rotation(struct topology_reader *reader, const struct yaml_tree_pair *pair)
{
	struct topology_capture *capture = &reader->topology->capture;

	if (!topology_check_keys(reader, pair->value, TOPOLOGY_IN_ROTATE, "\"rotate:\""))
		return;
	read_size(reader, pair->value, "size", ROTATE_SIZE_MIN, ROTATE_SIZE_MAX, &capture->rotate_size);
	read_rotate_time(reader, pair->value, &capture->rotate_seconds);
	read_number(reader, pair->value, "files", 1, ROTATE_FILES_MAX, &capture->rotate_files);
	if (capture->rotate_files > 0 && !yaml_tree_find(pair->value, "size") && !yaml_tree_find(pair->value, "time")) {
		yaml_reader_error(&reader->yaml, pair->key_mark,
				  "rotate says how many files, and not when to begin one");
		yaml_reader_help(&reader->yaml, "add size: 100M, or time: 10m");
	}
}

/* "lab", "ports", a list of them, or "off". */
static void read_files(struct topology_reader *reader, const struct yaml_tree_node *value)
{
	struct topology_capture *capture = &reader->topology->capture;
	size_t count = value->type == YAML_TREE_LIST ? value->count : 1;
	bool is_off;

	capture->has_lab_file = capture->has_port_files = false;
	for (size_t i = 0; i < count; i++) {
		const struct yaml_tree_node *item = value->type == YAML_TREE_LIST ? value->items[i] : value;
		const char *text = yaml_reader_text(&reader->yaml, item, "files");

		if (!text)
			return;
		is_off = item == value && (!strcmp(text, "off") || !strcmp(text, "no") || !strcmp(text, "false"));
		if (!strcmp(text, "lab"))
			capture->has_lab_file = true;
		else if (!strcmp(text, "ports"))
			capture->has_port_files = true;
		else if (!is_off)
			yaml_reader_error(&reader->yaml, item->mark,
					  "files must be off, or a list of lab and ports, not \"%s\"", text);
	}
}

void topology_read_capture(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	struct topology_capture *capture = &reader->topology->capture;
	const struct yaml_tree_pair *files, *rotate;

	*capture = (struct topology_capture){.has_port_files = true,
					     .has_lab_file = true,
					     .recorder_size = CAPTURE_RECORDER_SIZE};
	if (!map || !topology_check_keys(reader, map, TOPOLOGY_IN_LAB_CAPTURE, "\"capture:\""))
		return;
	files = yaml_tree_find(map, "files");
	rotate = yaml_tree_find(map, "rotate");
	if (files)
		read_files(reader, files->value);
	read_number(reader, map, "snaplen", SNAP_LEN_MIN, SNAP_LEN_MAX, &capture->snap_len);
	read_switch(reader, map, "clean", &capture->is_clean);
	read_switch(reader, map, "events", &capture->has_events);
	read_size(reader, map, "recorder", CAPTURE_RECORDER_SIZE_MIN, CAPTURE_RECORDER_SIZE_MAX,
		  &capture->recorder_size);
	if (rotate)
		read_rotation(reader, rotate);
	if (rotate && !capture->has_lab_file)
		yaml_reader_error(&reader->yaml, rotate->key_mark,
				  "rotate is about the lab's file, and files has no \"lab\"");
}
