/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <errno.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netlab/allocate.h"
#include "netlab/frame_filter.h"

/* "impair:": what is wrong with links, and with the outer ports of networks.
 *
 * A direction of a link has several maps, each on top of those before: that of "defaults:", the link's "impair:", its
 * "impair-ab:" or "impair-ba:", and that of the end that sends.  Keys are merged one by one, and what does not fit
 * together is looked for only in what comes out. */

#define TEXT_MAX 4096 /* Bytes of a map that comes by itself. */

static bool is_off(const struct yaml_tree_node *value)
{
	return value->type == YAML_TREE_SCALAR && (!strcasecmp(value->text, "off") || !strcasecmp(value->text, "none"));
}

/* One key each.  They return whether the value is good, after reporting one that is not. */

/* Reads what topology_parse_*() made of 'text': 'problem', or a number that has to be in the field's range. */
static bool is_good(struct topology_reader *reader, const struct yaml_tree_pair *pair,
		    const struct impairment_field *field, const char *problem, uint64_t number)
{
	static const char *const excesses[] = {
		[IMPAIRMENT_KIND_TIME] = "is more than 10 minutes",
		[IMPAIRMENT_KIND_SHARE] = "must be less than 100%",
		[IMPAIRMENT_KIND_SIZE] = "is more than 64M",
		[IMPAIRMENT_KIND_RATE] = "is more than 400gbit",
	};

	if (!problem && number < field->minimum)
		problem = "must be more than nothing; off is the default";
	if (!problem && number > field->maximum)
		problem = excesses[field->kind];
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" %s", pair->key, pair->value->text,
				  problem);
	return !problem;
}

static bool read_word(struct topology_reader *reader, const struct yaml_tree_pair *pair,
		      const struct impairment_field *field, const char *text, uint32_t *index)
{
	size_t count = 0;

	for (; field->words[count]; count++) {
		if (strcmp(field->words[count], text) != 0)
			continue;
		*index = (uint32_t)count;
		return true;
	}
	yaml_reader_error(&reader->yaml, pair->value->mark, "unknown %s \"%s\"", pair->key, text);
	yaml_reader_suggest(&reader->yaml, text, field->words, count);
	return false;
}

/* "100p" or "64K". */
static bool read_queue(struct topology_reader *reader, const struct yaml_tree_pair *pair, const char *text,
		       struct impairment *values)
{
	size_t digits = strspn(text, "0123456789");
	const char *problem = NULL;
	uint64_t number = 0;

	if (digits && (!strcmp(text + digits, "p") || !strcmp(text + digits, "P"))) {
		number = digits > 9 ? UINT64_MAX : strtoull(text, NULL, 10);
		if (number < 1 || number > IMPAIRMENT_QUEUE_FRAMES_MAX)
			problem = "must be from 1p to 100000p";
		values->queue_frames = (uint32_t)number;
		values->queue_bytes = 0;
	} else {
		problem = topology_parse_bytes(text, &number);
		if (problem)
			problem = "is not a queue's limit, which is in frames, as in 100p, or bytes, as in 64K";
		else if (number < 1 || number > IMPAIRMENT_QUEUE_BYTES_MAX)
			problem = "must be from 1b to 64M";
		values->queue_bytes = (uint32_t)number;
		values->queue_frames = 0;
	}
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "queue \"%s\" %s", text, problem);
	return !problem;
}

static bool read_filter(struct topology_reader *reader, const struct yaml_tree_pair *pair, const char *text,
			struct impairment *values)
{
	char room[FRAME_FILTER_PROBLEM_MAX];
	struct frame_filter filter;
	const char *problem;

	if (!*text)
		problem = "would match all frames; write loss: 100%";
	else if (strlen(text) >= IMPAIRMENT_MATCH_SIZE)
		problem = "is longer than 255 bytes";
	else
		problem = frame_filter_compile(&filter, text, room);
	if (problem) {
		yaml_reader_error(&reader->yaml, pair->value->mark, "loss-match \"%s\" %s", text, problem);
		return false;
	}
	frame_filter_clear(&filter);
	strcpy(values->loss_match, text);
	return true;
}

static bool read_share(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key,
		       uint32_t *share)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, key) : NULL;
	const char *problem = text ? topology_parse_share(text, share) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" %s", key, text, problem);
	return !pair || (text && !problem);
}

static bool read_chain(struct topology_reader *reader, const struct yaml_tree_pair *pair, struct impairment *values)
{
	const struct yaml_tree_node *map = pair->value;
	struct impairment_gilbert_elliott *chain = &values->gilbert_elliott;
	unsigned int errors_before = reader->yaml.error_count;

	*chain = (struct impairment_gilbert_elliott){.loss_bad = IMPAIRMENT_ALL};
	if (!topology_check_keys(reader, map, TOPOLOGY_IN_GILBERT, "\"gilbert-elliott:\"") ||
	    !read_share(reader, map, "to-bad", &chain->to_bad) ||
	    !read_share(reader, map, "to-good", &chain->to_good) ||
	    !read_share(reader, map, "loss-bad", &chain->loss_bad) ||
	    !read_share(reader, map, "loss-good", &chain->loss_good) || reader->yaml.error_count > errors_before)
		return false;
	if (!yaml_tree_find(map, "to-bad") || !yaml_tree_find(map, "to-good")) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "gilbert-elliott needs \"to-bad\" and \"to-good\"");
		yaml_reader_help(&reader->yaml, "write gilbert-elliott: {to-bad: 1%%, to-good: 20%%}");
		return false;
	}
	if (!chain->to_bad) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "gilbert-elliott never gets to its bad state");
		yaml_reader_help(&reader->yaml, "write loss: for losses that do not depend on others");
		return false;
	}
	return true;
}

/* Reads a field whose value is one word. */
static bool read_plain(struct topology_reader *reader, const struct yaml_tree_pair *pair,
		       const struct impairment_field *field, const char *text, struct impairment *values)
{
	uint32_t *number = (uint32_t *)(void *)((char *)values + field->offset);
	uint64_t *wide = (uint64_t *)(void *)((char *)values + field->offset);
	const char *problem;
	unsigned long whole = 0;
	uint64_t bytes = 0;

	switch (field->kind) {
	case IMPAIRMENT_KIND_TIME:
		problem = topology_parse_time(text, wide);
		return is_good(reader, pair, field, problem, *wide);
	case IMPAIRMENT_KIND_SHARE:
		problem = topology_parse_share(text, number);
		return is_good(reader, pair, field, problem, *number);
	case IMPAIRMENT_KIND_RATE:
		problem = topology_parse_rate(text, wide);
		return is_good(reader, pair, field, problem, *wide);
	case IMPAIRMENT_KIND_SIZE:
		problem = topology_parse_bytes(text, &bytes);
		*number = (uint32_t)bytes;
		return is_good(reader, pair, field, problem, bytes);
	case IMPAIRMENT_KIND_WORD:
		return read_word(reader, pair, field, text, number);
	case IMPAIRMENT_KIND_QUEUE:
		return read_queue(reader, pair, text, values);
	case IMPAIRMENT_KIND_FILTER:
		return read_filter(reader, pair, text, values);
	default:
		if (!yaml_reader_number(&reader->yaml, pair->value, pair->key, field->minimum, field->maximum, &whole))
			return false;
		if (field->kind == IMPAIRMENT_KIND_SEED) {
			*wide = whole;
			values->has_seed = true;
		} else {
			*number = (uint32_t)whole;
		}
		return true;
	}
}

static void read_field(struct topology_reader *reader, const struct yaml_tree_pair *pair, size_t index,
		       struct topology_written_impairment *written)
{
	const struct impairment_field *field = &impairment_fields[index];
	struct impairment values = {.delay = 0};
	bool good = true;

	if (is_off(pair->value)) {
		impairment_set(&written->values, field, NULL);
	} else if (field->kind == IMPAIRMENT_KIND_GILBERT) {
		good = read_chain(reader, pair, &values);
	} else {
		const char *text = yaml_reader_text(&reader->yaml, pair->value, pair->key);

		good = text && read_plain(reader, pair, field, text, &values);
	}
	if (!good)
		return;
	if (!is_off(pair->value))
		impairment_set(&written->values, field, &values);
	written->marks[index] = pair->key_mark;
	written->is_own[index] = true;
}

static void read_preset(struct topology_reader *reader, const struct yaml_tree_pair *pair,
			struct topology_written_impairment *written)
{
	const char *text = yaml_reader_text(&reader->yaml, pair->value, "preset");
	size_t count = 0;

	if (!text)
		return;
	if (!impairment_apply_preset(&written->values, text)) {
		while (impairment_preset_names[count])
			count++;
		yaml_reader_error(&reader->yaml, pair->value->mark, "unknown preset \"%s\"", text);
		yaml_reader_suggest(&reader->yaml, text, impairment_preset_names, count);
		return;
	}
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++) {
		struct impairment values = {.delay = 0};

		impairment_apply_preset(&values, text);
		if (!impairment_has(&values, &impairment_fields[i]))
			continue;
		written->marks[i] = pair->value->mark;
		written->is_own[i] = false;
	}
}

bool topology_apply_impair(struct topology_reader *reader, const struct yaml_tree_pair *pair,
			   struct topology_written_impairment *written)
{
	unsigned int errors_before = reader->yaml.error_count;
	const struct yaml_tree_node *map = pair->value;
	const struct yaml_tree_pair *preset;
	char *where;

	if (is_off(map)) {
		*written = (struct topology_written_impairment){.mark = pair->key_mark};
		return true;
	}
	written->mark = pair->key_mark;
	where = allocate_text("\"%s:\"", pair->key);
	if (!topology_check_keys(reader, map, TOPOLOGY_IN_IMPAIR, where) && map->type != YAML_TREE_NULL)
		yaml_reader_help(&reader->yaml, "write %s: {delay: 20ms, loss: 1%%}, or %s: off", pair->key, pair->key);
	free(where);
	/* Wherever it stands, the others are on top of it. */
	preset = yaml_tree_find(map, "preset");
	if (preset)
		read_preset(reader, preset, written);
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++) {
		const struct yaml_tree_pair *key = yaml_tree_find(map, impairment_fields[i].name);

		if (key)
			read_field(reader, key, i, written);
	}
	return reader->yaml.error_count == errors_before;
}

/* What does not fit together. */

/* Returns false when this was said before of what is written there, which several links may have, or when it is
 * written nowhere. */
static bool is_new(struct topology_reader *reader, struct yaml_mark mark, const char *what)
{
	if (!mark.line)
		return false;
	for (size_t i = 0; i < reader->said_count; i++) {
		const struct topology_said *said = &reader->said[i];

		if (said->mark.line == mark.line && said->mark.column == mark.column && !strcmp(said->what, what))
			return false;
	}
	/* What is beyond them is not shown either. */
	if (reader->said_count < sizeof(reader->said) / sizeof(reader->said[0]))
		reader->said[reader->said_count++] = (struct topology_said){what, mark};
	return true;
}

/* Where one of two keys is written; line 0: what they say was there before. */
static struct yaml_mark mark_of(const struct topology_written_impairment *written, enum impairment_key key,
				enum impairment_key other)
{
	struct yaml_mark mark = written->marks[key];

	return mark.line ? mark : written->marks[other];
}

/* A key that does nothing without another. */
struct need {
	enum impairment_key key, other;
	uint32_t discipline; /* With "discipline": which. */
	const char *help;    /* An example of it. */
};

static const struct need needs[] = {
	{IMPAIRMENT_KEY_DISTRIBUTION, IMPAIRMENT_KEY_JITTER, 0, "2ms"},
	{IMPAIRMENT_KEY_JITTER_CORRELATION, IMPAIRMENT_KEY_JITTER, 0, "2ms"},
	{IMPAIRMENT_KEY_LOSS_CORRELATION, IMPAIRMENT_KEY_LOSS, 0, "1%"},
	{IMPAIRMENT_KEY_DUPLICATE_CORRELATION, IMPAIRMENT_KEY_DUPLICATE, 0, "1%"},
	{IMPAIRMENT_KEY_CORRUPT_CORRELATION, IMPAIRMENT_KEY_CORRUPT, 0, "1%"},
	{IMPAIRMENT_KEY_REORDER, IMPAIRMENT_KEY_DELAY, 0, "20ms"},
	{IMPAIRMENT_KEY_REORDER_CORRELATION, IMPAIRMENT_KEY_REORDER, 0, "25%"},
	{IMPAIRMENT_KEY_REORDER_GAP, IMPAIRMENT_KEY_REORDER, 0, "25%"},
	{IMPAIRMENT_KEY_BURST, IMPAIRMENT_KEY_RATE, 0, "10mbit"},
	{IMPAIRMENT_KEY_QUEUE, IMPAIRMENT_KEY_RATE, 0, "10mbit"},
	{IMPAIRMENT_KEY_DISCIPLINE, IMPAIRMENT_KEY_RATE, 0, "10mbit"},
	{IMPAIRMENT_KEY_RED_MIN, IMPAIRMENT_KEY_DISCIPLINE, IMPAIRMENT_RED, "red"},
	{IMPAIRMENT_KEY_RED_MAX, IMPAIRMENT_KEY_DISCIPLINE, IMPAIRMENT_RED, "red"},
	{IMPAIRMENT_KEY_RED_PROBABILITY, IMPAIRMENT_KEY_DISCIPLINE, IMPAIRMENT_RED, "red"},
	{IMPAIRMENT_KEY_CODEL_TARGET, IMPAIRMENT_KEY_DISCIPLINE, IMPAIRMENT_CODEL, "codel"},
	{IMPAIRMENT_KEY_CODEL_INTERVAL, IMPAIRMENT_KEY_DISCIPLINE, IMPAIRMENT_CODEL, "codel"},
};

#define NEED_COUNT (sizeof(needs) / sizeof(needs[0]))

/* Whether the key is in this map or one on top of defaults, and says anything. */
static bool is_asked_for(const struct topology_written_impairment *written, enum impairment_key key)
{
	return written->is_own[key] && impairment_has(&written->values, &impairment_fields[key]);
}

static bool is_met(const struct impairment *values, const struct need *need)
{
	if (need->discipline)
		return (uint32_t)values->discipline == need->discipline;
	return impairment_has(values, &impairment_fields[need->other]);
}

/* Whether the key that the need is of, as it is written at 'mark', does something in one of the directions. */
static bool is_useful(const struct topology_written_impairment *written, size_t count, const struct need *need,
		      struct yaml_mark mark)
{
	for (size_t i = 0; i < count; i++) {
		struct yaml_mark its = written[i].marks[need->key];

		if (its.line == mark.line && its.column == mark.column && is_met(&written[i].values, need))
			return true;
	}
	return false;
}

/* Reports keys that do nothing in any direction for which they are written. */
static void check_needs(struct topology_reader *reader, const struct topology_written_impairment *written, size_t count)
{
	for (size_t i = 0; i < count * NEED_COUNT; i++) {
		const struct need *need = &needs[i / count];
		const struct topology_written_impairment *one = &written[i % count];
		const char *key = impairment_fields[need->key].name, *other = impairment_fields[need->other].name;
		struct yaml_mark mark = one->marks[need->key];

		if (!is_asked_for(one, need->key) || is_useful(written, count, need, mark) ||
		    !is_new(reader, mark, key))
			continue;
		yaml_reader_error(&reader->yaml, mark, "\"%s\" does nothing without \"%s%s%s\"", key, other,
				  need->discipline ? ": " : "", need->discipline ? need->help : "");
		yaml_reader_help(&reader->yaml, "add %s, as in %s: %s", other, other, need->help);
	}
}

static void check_delay(struct topology_reader *reader, const struct topology_written_impairment *written)
{
	const struct impairment *values = &written->values;
	double in_flight = (double)values->delay * (double)values->rate / (8 * 1e9);
	struct yaml_mark mark = mark_of(written, IMPAIRMENT_KEY_JITTER, IMPAIRMENT_KEY_DELAY);

	if (values->jitter > values->delay && is_new(reader, mark, "jitter"))
		yaml_reader_warning(&reader->yaml, mark,
				    "a jitter of %gms is more than the delay of %gms: delays are cut off at 0",
				    (double)values->jitter / 1e6, (double)values->delay / 1e6);
	mark = mark_of(written, IMPAIRMENT_KEY_DELAY, IMPAIRMENT_KEY_RATE);
	if (in_flight > IMPAIRMENT_IN_FLIGHT_MAX && is_new(reader, mark, "delay"))
		yaml_reader_warning(
			&reader->yaml, mark,
			"a delay of %gms at a rate of %gmbit is up to %.0f bytes that are on their way, and "
			"what is beyond %u is dropped",
			(double)values->delay / 1e6, (double)values->rate / 1e6, in_flight, IMPAIRMENT_IN_FLIGHT_MAX);
}

/* RED has two thresholds in frames, by default a quarter and three quarters of the queue. */
static void check_red(struct topology_reader *reader, const struct topology_written_impairment *written)
{
	const struct impairment *values = &written->values;
	uint32_t limit = values->queue_frames ? values->queue_frames : IMPAIRMENT_QUEUE_FRAMES;
	uint32_t frames = values->queue_bytes ? 0 : limit;
	uint32_t low = values->red_min ? values->red_min : frames / 4;
	uint32_t high = values->red_max ? values->red_max : frames / 4 * 3;
	struct yaml_mark mark = mark_of(written, IMPAIRMENT_KEY_RED_MIN, IMPAIRMENT_KEY_RED_MAX);

	if (values->discipline != IMPAIRMENT_RED)
		return;
	if (!mark.line)
		mark = written->mark;
	if (low && high && low >= high && is_new(reader, mark, "red"))
		yaml_reader_error(&reader->yaml, mark, "red-min (%u) must be less than red-max (%u)", low, high);
	mark = mark_of(written, IMPAIRMENT_KEY_RED_MAX, IMPAIRMENT_KEY_QUEUE);
	if (frames && values->red_max > frames && is_new(reader, mark, "red-max"))
		yaml_reader_warning(&reader->yaml, mark, "red-max (%u) is never reached: %u frames fill the queue",
				    values->red_max, frames);
}

static void check_codel(struct topology_reader *reader, const struct topology_written_impairment *written)
{
	const struct impairment *values = &written->values;
	uint64_t target = values->codel_target ? values->codel_target : IMPAIRMENT_CODEL_TARGET;
	uint64_t interval = values->codel_interval ? values->codel_interval : IMPAIRMENT_CODEL_INTERVAL;
	struct yaml_mark mark = mark_of(written, IMPAIRMENT_KEY_CODEL_TARGET, IMPAIRMENT_KEY_CODEL_INTERVAL);

	if (!mark.line)
		mark = written->mark;
	if (values->discipline == IMPAIRMENT_CODEL && target >= interval && is_new(reader, mark, "codel"))
		yaml_reader_error(&reader->yaml, mark, "codel-target (%gms) must be less than codel-interval (%gms)",
				  (double)target / 1e6, (double)interval / 1e6);
}

/* Looks whether the longest frame of an interface with this MTU gets through the queue. */
static void check_sizes(struct topology_reader *reader, const struct topology_written_impairment *written,
			unsigned int mtu)
{
	const struct impairment *values = &written->values;
	unsigned int longest = (values->mtu && values->mtu < mtu ? values->mtu : mtu) + ETHER_HDR_LEN;
	struct yaml_mark mark = mark_of(written, IMPAIRMENT_KEY_BURST, IMPAIRMENT_KEY_MTU);
	unsigned long long room;

	if (values->burst && values->burst < longest && is_new(reader, mark, "burst"))
		yaml_reader_warning(
			&reader->yaml, mark,
			"a burst of %u bytes is less than a frame, which has up to %u here: none of these passes "
			"at once",
			values->burst, longest);
	mark = mark_of(written, IMPAIRMENT_KEY_QUEUE, IMPAIRMENT_KEY_MTU);
	if (values->queue_bytes && values->queue_bytes < longest && is_new(reader, mark, "queue-bytes"))
		yaml_reader_warning(
			&reader->yaml, mark,
			"a queue of %u bytes is less than a frame, which has up to %u here: longer ones are all "
			"dropped",
			values->queue_bytes, longest);
	room = (unsigned long long)values->queue_frames * longest;
	if (room > IMPAIRMENT_IN_FLIGHT_MAX && is_new(reader, mark, "queue-frames"))
		yaml_reader_warning(&reader->yaml, mark,
				    "a queue of %u frames is up to %llu bytes, and what is beyond %u is dropped",
				    values->queue_frames, room, IMPAIRMENT_IN_FLIGHT_MAX);
}

void topology_check_impair(struct topology_reader *reader, const struct topology_written_impairment *written,
			   size_t count, const unsigned int *mtus)
{
	check_needs(reader, written, count);
	for (size_t i = 0; i < count; i++) {
		check_delay(reader, &written[i]);
		check_red(reader, &written[i]);
		check_codel(reader, &written[i]);
		if (mtus)
			check_sizes(reader, &written[i], mtus[i]);
	}
}

/* Where it can be. */

void topology_read_default_impair(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "impair");

	if (pair)
		topology_apply_impair(reader, pair, &reader->impairment);
	/* It is for links to use. */
	memset(reader->impairment.is_own, 0, sizeof(reader->impairment.is_own));
}

void topology_read_network_impair(struct topology_reader *reader, const struct yaml_tree_node *map,
				  struct topology_network *network)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "impair");
	struct topology_written_impairment written = {.mark = map->mark};

	if (!pair)
		return;
	if (network->mode == TOPOLOGY_ISOLATED) {
		yaml_reader_error(
			&reader->yaml, pair->key_mark,
			"\"impair\" of a network is that of what leads out of it, and nothing leads out of \"%s\"",
			network->name);
		yaml_reader_help(&reader->yaml,
				 "its links have it, {endpoints: [h1, %s], impair: ...}, or \"defaults:\"",
				 network->name);
		return;
	}
	if (topology_apply_impair(reader, pair, &written))
		topology_check_impair(reader, &written, 1, NULL);
	network->impairments[0] = network->impairments[1] = written.values;
}

/* Applies the maps of a link, 'map', and of its ends.  Returns false after reporting what is wrong with one. */
static bool apply_all(struct topology_reader *reader, const struct yaml_tree_node *map,
		      const struct topology_wire *wire, struct topology_written_impairment written[2])
{
	static const char *const directed[] = {"impair-ab", "impair-ba"};
	const struct yaml_tree_pair *both = yaml_tree_find(map, "impair");

	/* Read once, so that what is wrong with it is told once. */
	if (both && !topology_apply_impair(reader, both, &written[0]))
		return false;
	written[1] = written[0];
	for (size_t side = 0; side < 2; side++) {
		const struct yaml_tree_pair *one = yaml_tree_find(map, directed[side]);

		if (one && !topology_apply_impair(reader, one, &written[side]))
			return false;
		one = wire->ends[side].impair;
		if (one && !topology_apply_impair(reader, one, &written[side]))
			return false;
	}
	return true;
}

void topology_read_link_impair(struct topology_reader *reader, const struct yaml_tree_node *map,
			       struct topology_wire *wire)
{
	const struct yaml_tree_pair *schedule = yaml_tree_find(map, "schedule");
	struct topology_written_impairment written[2] = {reader->impairment, reader->impairment};
	const unsigned int mtus[2] = {wire->ends[0].mtu, wire->ends[1].mtu};
	const struct impairment none = {.delay = 0};
	unsigned int errors_before = reader->yaml.error_count;

	if (!apply_all(reader, map, wire, written))
		return;
	topology_check_impair(reader, written, 2, mtus);
	if (reader->yaml.error_count > errors_before)
		return;
	/* Most have none. */
	if (!impairment_is_equal(&written[0].values, &none) || !impairment_is_equal(&written[1].values, &none)) {
		wire->impairments = allocate_zeroed(2, sizeof(wire->impairments[0]));
		wire->impairments[0] = written[0].values;
		wire->impairments[1] = written[1].values;
	}
	if (schedule)
		topology_read_schedule(reader, schedule, wire);
}

/* A map by itself. */

/* Sets 'error' to the first of the messages, without its place, and with its help. */
static void take_first(const char *messages, struct error *error)
{
	const char *start = strstr(messages, ": error: "), *end;

	start = start ? start + strlen(": error: ") : messages;
	end = strchrnul(start, '\n');
	if (!strncmp(end, "\n  help: ", strlen("\n  help: ")))
		end = strchrnul(end + 1, '\n');
	error_set(error, ERROR_USAGE, EINVAL, "%.*s", (int)(end - start), start);
}

char *topology_doubt_impairment(const struct impairment *impairment)
{
	struct topology_reader reader = {.yaml = {.file = NULL}};
	struct topology_written_impairment written = {.values = *impairment};
	char *messages = NULL;
	size_t length;

	for (size_t i = 0; i < sizeof(written.marks) / sizeof(written.marks[0]); i++)
		written.marks[i] = (struct yaml_mark){1, 1};
	reader.yaml.errors = open_memstream(&messages, &length);
	if (!reader.yaml.errors)
		return allocate_text("%s", "");
	check_delay(&reader, &written);
	check_red(&reader, &written);
	fclose(reader.yaml.errors);
	return messages ? messages : allocate_text("%s", "");
}

static void read_alone(struct topology_reader *reader, const char *text, struct impairment *impairment)
{
	struct topology_written_impairment written = {.values = *impairment};
	struct yaml_tree *tree = yaml_tree_read(text, strlen(text), &reader->yaml);

	if (tree && !reader->yaml.error_count) {
		const struct yaml_tree_pair pair = {"impair", {1, 1}, yaml_tree_root(tree)};

		if (topology_apply_impair(reader, &pair, &written))
			topology_check_impair(reader, &written, 1, NULL);
	}
	yaml_tree_free(tree);
	if (!reader->yaml.error_count)
		*impairment = written.values;
}

int topology_read_impairment_text(const char *text, struct impairment *impairment, struct error *error)
{
	struct topology_reader reader = {.yaml = {.file = "impair"}};
	char *messages = NULL;
	size_t length;

	if (strlen(text) > TEXT_MAX)
		return error_set(error, ERROR_USAGE, EINVAL, "impairments of more than %d bytes of text", TEXT_MAX);
	reader.yaml.errors = open_memstream(&messages, &length);
	if (!reader.yaml.errors)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	read_alone(&reader, text, impairment);
	fclose(reader.yaml.errors);
	if (reader.yaml.error_count)
		take_first(messages ? messages : "", error);
	free(messages);
	return reader.yaml.error_count ? -EINVAL : 0;
}
