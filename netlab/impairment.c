/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/impairment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One table says where each key of a topology is kept and what it can be; reading (netlab/topology_impair.c), printing,
 * comparing and limiting walk it. */

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull
#define PERCENT (IMPAIRMENT_ALL / 100)

static const char *const distributions[] = {"uniform", "normal", "pareto", NULL};
static const char *const disciplines[] = {"tail", "red", "codel", NULL};

#define AT(member) offsetof(struct impairment, member)
#define TIME(name, member, low) name, IMPAIRMENT_KIND_TIME, AT(member), low, IMPAIRMENT_TIME_MAX, NULL
#define SHARE(name, member) name, IMPAIRMENT_KIND_SHARE, AT(member), 0, IMPAIRMENT_ALL, NULL
/* Of all, nothing would ever change. */
#define CORRELATION(name, member) name, IMPAIRMENT_KIND_SHARE, AT(member), 0, IMPAIRMENT_ALL - 1, NULL
#define NUMBER(name, member, low, high) name, IMPAIRMENT_KIND_NUMBER, AT(member), low, high, NULL
#define WORD(name, member, words) name, IMPAIRMENT_KIND_WORD, AT(member), 0, LAST(words), words
#define LAST(words) (sizeof(words) / sizeof((words)[0]) - 2)

const struct impairment_field impairment_fields[IMPAIRMENT_FIELD_COUNT] = {
	[IMPAIRMENT_KEY_DELAY] = {TIME("delay", delay, 0)},
	[IMPAIRMENT_KEY_JITTER] = {TIME("jitter", jitter, 0)},
	[IMPAIRMENT_KEY_DISTRIBUTION] = {WORD("distribution", distribution, distributions)},
	[IMPAIRMENT_KEY_JITTER_CORRELATION] = {CORRELATION("jitter-correlation", jitter_correlation)},
	[IMPAIRMENT_KEY_LOSS] = {SHARE("loss", loss)},
	[IMPAIRMENT_KEY_LOSS_CORRELATION] = {CORRELATION("loss-correlation", loss_correlation)},
	[IMPAIRMENT_KEY_LOSS_EVERY] = {NUMBER("loss-every", loss_every, 1, 1000000000)},
	[IMPAIRMENT_KEY_LOSS_MATCH] = {"loss-match", IMPAIRMENT_KIND_FILTER, AT(loss_match), 0,
				       IMPAIRMENT_MATCH_SIZE - 1, NULL},
	[IMPAIRMENT_KEY_GILBERT_ELLIOTT] = {"gilbert-elliott", IMPAIRMENT_KIND_GILBERT, AT(gilbert_elliott), 0,
					    IMPAIRMENT_ALL, NULL},
	[IMPAIRMENT_KEY_DUPLICATE] = {SHARE("duplicate", duplicate)},
	[IMPAIRMENT_KEY_DUPLICATE_CORRELATION] = {CORRELATION("duplicate-correlation", duplicate_correlation)},
	[IMPAIRMENT_KEY_CORRUPT] = {SHARE("corrupt", corrupt)},
	[IMPAIRMENT_KEY_CORRUPT_CORRELATION] = {CORRELATION("corrupt-correlation", corrupt_correlation)},
	[IMPAIRMENT_KEY_REORDER] = {SHARE("reorder", reorder)},
	[IMPAIRMENT_KEY_REORDER_CORRELATION] = {CORRELATION("reorder-correlation", reorder_correlation)},
	[IMPAIRMENT_KEY_REORDER_GAP] = {NUMBER("reorder-gap", reorder_gap, 1, 1000000000)},
	[IMPAIRMENT_KEY_RATE] = {"rate", IMPAIRMENT_KIND_RATE, AT(rate), IMPAIRMENT_RATE_MIN, IMPAIRMENT_RATE_MAX,
				 NULL},
	[IMPAIRMENT_KEY_BURST] = {"burst", IMPAIRMENT_KIND_SIZE, AT(burst), 1, IMPAIRMENT_BURST_MAX, NULL},
	[IMPAIRMENT_KEY_QUEUE] = {"queue", IMPAIRMENT_KIND_QUEUE, AT(queue_frames), 1, IMPAIRMENT_QUEUE_FRAMES_MAX,
				  NULL},
	[IMPAIRMENT_KEY_DISCIPLINE] = {WORD("discipline", discipline, disciplines)},
	[IMPAIRMENT_KEY_RED_MIN] = {NUMBER("red-min", red_min, 1, IMPAIRMENT_QUEUE_FRAMES_MAX)},
	[IMPAIRMENT_KEY_RED_MAX] = {NUMBER("red-max", red_max, 1, IMPAIRMENT_QUEUE_FRAMES_MAX)},
	[IMPAIRMENT_KEY_RED_PROBABILITY] = {"red-probability", IMPAIRMENT_KIND_SHARE, AT(red_probability), 1,
					    IMPAIRMENT_ALL, NULL},
	[IMPAIRMENT_KEY_CODEL_TARGET] = {TIME("codel-target", codel_target, 1)},
	[IMPAIRMENT_KEY_CODEL_INTERVAL] = {TIME("codel-interval", codel_interval, 1)},
	[IMPAIRMENT_KEY_MTU] = {NUMBER("mtu", mtu, 68, 65535)},
	[IMPAIRMENT_KEY_SEED] = {"seed", IMPAIRMENT_KIND_SEED, AT(seed), 0, UINT64_MAX, NULL},
};

/* What the kinds take that are compared byte by byte. */
static const size_t kind_sizes[] = {
	[IMPAIRMENT_KIND_TIME] = sizeof(uint64_t),
	[IMPAIRMENT_KIND_SHARE] = sizeof(uint32_t),
	[IMPAIRMENT_KIND_NUMBER] = sizeof(uint32_t),
	[IMPAIRMENT_KIND_SIZE] = sizeof(uint32_t),
	[IMPAIRMENT_KIND_RATE] = sizeof(uint64_t),
	[IMPAIRMENT_KIND_WORD] = sizeof(uint32_t),
	[IMPAIRMENT_KIND_QUEUE] = 2 * sizeof(uint32_t),
	[IMPAIRMENT_KIND_GILBERT] = sizeof(struct impairment_gilbert_elliott),
	[IMPAIRMENT_KIND_SEED] = sizeof(uint64_t),
};

_Static_assert(sizeof(enum impairment_distribution) == sizeof(uint32_t), "a word is read as a number");
_Static_assert(sizeof(enum impairment_discipline) == sizeof(uint32_t), "a word is read as a number");
_Static_assert(AT(queue_bytes) == AT(queue_frames) + sizeof(uint32_t), "a queue's two limits are compared as one");

/* Presets.
 *
 * Rates and delays are published profiles; a delay is half the round trip, and the rate is that towards the subscriber.
 *   dialup, dsl, 3g   WebPageTest's "Dial" (49 kbit/s, 120 ms RTT), "DSL" (1.5 Mbit/s, 50 ms) and "3G" (1.6 Mbit/s,
 *                     300 ms), in www/settings/connectivity.ini.sample of github.com/catchpoint/WebPageTest
 *   lte               "LTE" (12 Mbit/s, 70 ms) of webpagetest.org
 *   wifi              the rate is that of "Wi-Fi" in Apple's Network Link Conditioner
 *   satellite         RFC 2488, section 2: 240 to 280 ms up to a geostationary satellite and down again, here with the
 *                     access of the ground station; 50 Mbit/s as in draft-kuhn-quic-4-sat
 *   wan               90 ms of round trip, the limit Verizon guarantees between New York and London
 * Jitter, loss and queues are round figures of our own, so that TCP meets what such links are known for: slow ones with
 * queues of a third of a second and more, radio with jitter and retransmissions, Wi-Fi with losses in bursts. */
struct preset {
	const char *name; /* As in impairment_preset_names. */
	struct impairment values;
};

static const struct preset presets[] = {
	{"dsl", {.delay = 25 * MILLISECOND, .jitter = MILLISECOND, .rate = 1500000, .queue_bytes = 64 << 10}},
	{"3g",
	 {.delay = 150 * MILLISECOND,
	  .jitter = 30 * MILLISECOND,
	  .distribution = IMPAIRMENT_NORMAL,
	  .jitter_correlation = 25 * PERCENT,
	  .loss = PERCENT / 5,
	  .rate = 1600000,
	  .queue_frames = 200}},
	{"lte",
	 {.delay = 35 * MILLISECOND,
	  .jitter = 10 * MILLISECOND,
	  .distribution = IMPAIRMENT_NORMAL,
	  .jitter_correlation = 25 * PERCENT,
	  .loss = PERCENT / 10,
	  .rate = 12000000,
	  .queue_frames = 400}},
	{"wifi",
	 {.delay = 2 * MILLISECOND,
	  .jitter = MILLISECOND,
	  .distribution = IMPAIRMENT_PARETO,
	  .jitter_correlation = 25 * PERCENT,
	  .gilbert_elliott = {.to_bad = PERCENT / 5, .to_good = 30 * PERCENT, .loss_bad = 30 * PERCENT},
	  .rate = 40000000,
	  .queue_frames = 250}},
	{"satellite",
	 {.delay = 300 * MILLISECOND,
	  .jitter = 5 * MILLISECOND,
	  .distribution = IMPAIRMENT_NORMAL,
	  .loss = PERCENT / 10,
	  .rate = 50000000,
	  .queue_frames = 1000}},
	{"dialup", {.delay = 60 * MILLISECOND, .jitter = 5 * MILLISECOND, .rate = 49000, .queue_frames = 10}},
	{"wan",
	 {.delay = 45 * MILLISECOND,
	  .jitter = MILLISECOND,
	  .distribution = IMPAIRMENT_NORMAL,
	  .loss = PERCENT / 100,
	  .rate = 100000000,
	  .queue_frames = 1000}},
};

#define PRESET_COUNT (sizeof(presets) / sizeof(presets[0]))

const char *const impairment_preset_names[] = {"dsl", "3g", "lte", "wifi", "satellite", "dialup", "wan", NULL};

_Static_assert(sizeof(impairment_preset_names) / sizeof(impairment_preset_names[0]) == PRESET_COUNT + 1,
	       "each preset has a name");

bool impairment_apply_preset(struct impairment *impairment, const char *name)
{
	for (size_t i = 0; i < PRESET_COUNT; i++) {
		const struct impairment *values = &presets[i].values;

		if (strcmp(presets[i].name, name) != 0)
			continue;
		impairment->delay = values->delay;
		impairment->jitter = values->jitter;
		impairment->distribution = values->distribution;
		impairment->jitter_correlation = values->jitter_correlation;
		impairment->loss = values->loss;
		impairment->loss_correlation = values->loss_correlation;
		impairment->gilbert_elliott = values->gilbert_elliott;
		impairment->rate = values->rate;
		impairment->burst = values->burst;
		impairment->queue_frames = values->queue_frames;
		impairment->queue_bytes = values->queue_bytes;
		impairment->discipline = values->discipline;
		return true;
	}
	return false;
}

bool impairment_is_any(const struct impairment *impairment)
{
	const struct impairment_gilbert_elliott *chain = &impairment->gilbert_elliott;

	/* What is not asked for here needs one of these. */
	return impairment->delay || impairment->jitter || impairment->loss || impairment->loss_every ||
	       impairment->loss_match[0] || chain->to_bad || chain->loss_good || impairment->duplicate ||
	       impairment->corrupt || impairment->mtu || impairment->rate;
}

static const void *field_of(const struct impairment *impairment, const struct impairment_field *field)
{
	return (const char *)impairment + field->offset;
}

static bool is_same(const struct impairment *a, const struct impairment *b, const struct impairment_field *field)
{
	if (field->kind == IMPAIRMENT_KIND_FILTER)
		return !strcmp(a->loss_match, b->loss_match);
	if (field->kind == IMPAIRMENT_KIND_SEED)
		return a->has_seed == b->has_seed && (!a->has_seed || a->seed == b->seed);
	return !memcmp(field_of(a, field), field_of(b, field), kind_sizes[field->kind]);
}

static const struct impairment none;

bool impairment_has(const struct impairment *impairment, const struct impairment_field *field)
{
	return !is_same(impairment, &none, field);
}

void impairment_set(struct impairment *impairment, const struct impairment_field *field, const struct impairment *from)
{
	if (!from)
		from = &none;
	if (field->kind == IMPAIRMENT_KIND_FILTER)
		memcpy(impairment->loss_match, from->loss_match, sizeof(impairment->loss_match));
	else
		memcpy((char *)impairment + field->offset, field_of(from, field), kind_sizes[field->kind]);
	if (field->kind == IMPAIRMENT_KIND_SEED)
		impairment->has_seed = from->has_seed;
}

bool impairment_is_equal(const struct impairment *a, const struct impairment *b)
{
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++)
		if (!is_same(a, b, &impairment_fields[i]))
			return false;
	return true;
}

static void limit_wide(uint64_t *number, uint64_t minimum, uint64_t maximum)
{
	if (*number > maximum)
		*number = maximum;
	else if (*number > 0 && *number < minimum)
		*number = minimum;
}

static void limit_number(uint32_t *number, uint64_t minimum, uint64_t maximum)
{
	uint64_t wide = *number;

	limit_wide(&wide, minimum, maximum);
	*number = (uint32_t)wide;
}

static void limit_chain(struct impairment_gilbert_elliott *chain, uint64_t maximum)
{
	limit_number(&chain->to_bad, 0, maximum);
	limit_number(&chain->to_good, 0, maximum);
	limit_number(&chain->loss_bad, 0, maximum);
	limit_number(&chain->loss_good, 0, maximum);
}

static void limit_field(struct impairment *impairment, const struct impairment_field *field)
{
	void *value = (char *)impairment + field->offset;

	switch (field->kind) {
	case IMPAIRMENT_KIND_TIME:
	case IMPAIRMENT_KIND_RATE:
		limit_wide(value, field->minimum, field->maximum);
		break;
	case IMPAIRMENT_KIND_SHARE:
	case IMPAIRMENT_KIND_NUMBER:
	case IMPAIRMENT_KIND_SIZE:
	case IMPAIRMENT_KIND_WORD:
		limit_number(value, field->minimum, field->maximum);
		break;
	case IMPAIRMENT_KIND_QUEUE:
		limit_number(&impairment->queue_frames, field->minimum, field->maximum);
		limit_number(&impairment->queue_bytes, 0, IMPAIRMENT_QUEUE_BYTES_MAX);
		break;
	case IMPAIRMENT_KIND_GILBERT:
		limit_chain(value, field->maximum);
		break;
	case IMPAIRMENT_KIND_FILTER:
		impairment->loss_match[field->maximum] = '\0';
		break;
	case IMPAIRMENT_KIND_SEED: /* Any is one. */
		break;
	}
}

void impairment_limit(struct impairment *impairment)
{
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++)
		limit_field(impairment, &impairment_fields[i]);
}

/* In words. */

/* Writes value / scale exactly; 'scale' is a power of ten. */
static void write_decimal(FILE *to, uint64_t value, uint64_t scale, const char *unit)
{
	uint64_t rest = value % scale;

	fprintf(to, "%llu", (unsigned long long)(value / scale));
	for (const char *point = "."; rest; rest %= scale, point = "") {
		scale /= 10;
		fprintf(to, "%s%llu", point, (unsigned long long)(rest / scale));
	}
	fputs(unit, to);
}

struct unit {
	uint64_t scale;
	const char *name;
};

/* Writes it in the largest unit of which it is at least one; 'units' are in descending order, the last one 1. */
static void write_in_units(FILE *to, uint64_t value, const struct unit *units)
{
	while (value < units->scale && units->scale > 1)
		units++;
	write_decimal(to, value, units->scale, units->name);
}

static void write_time(FILE *to, uint64_t nanoseconds)
{
	static const struct unit units[] = {{SECOND, "s"}, {MILLISECOND, "ms"}, {MICROSECOND, "us"}, {1, "ns"}};

	write_in_units(to, nanoseconds, units);
}

static void write_rate(FILE *to, uint64_t rate)
{
	static const struct unit units[] = {{1000000000, "gbit"}, {1000000, "mbit"}, {1000, "kbit"}, {1, "bit"}};

	write_in_units(to, rate, units);
}

static void write_share(FILE *to, uint32_t share)
{
	write_decimal(to, share, PERCENT, "%");
}

static void write_size(FILE *to, uint32_t bytes)
{
	if (bytes % (1u << 20) == 0)
		fprintf(to, "%uM", bytes >> 20);
	else if (bytes % (1u << 10) == 0)
		fprintf(to, "%uK", bytes >> 10);
	else
		fprintf(to, "%ub", bytes);
}

static void write_chain(FILE *to, const struct impairment_gilbert_elliott *chain)
{
	fputs("{to-bad: ", to);
	write_share(to, chain->to_bad);
	fputs(", to-good: ", to);
	write_share(to, chain->to_good);
	if (chain->loss_bad != IMPAIRMENT_ALL) {
		fputs(", loss-bad: ", to);
		write_share(to, chain->loss_bad);
	}
	if (chain->loss_good) {
		fputs(", loss-good: ", to);
		write_share(to, chain->loss_good);
	}
	fputc('}', to);
}

/* As YAML has text in double quotes. */
static void write_quoted(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

static void write_value(FILE *to, const struct impairment *impairment, const struct impairment_field *field)
{
	const uint32_t *number = field_of(impairment, field);
	const uint64_t *wide = field_of(impairment, field);

	switch (field->kind) {
	case IMPAIRMENT_KIND_TIME:
		write_time(to, *wide);
		break;
	case IMPAIRMENT_KIND_SHARE:
		write_share(to, *number);
		break;
	case IMPAIRMENT_KIND_NUMBER:
		fprintf(to, "%u", *number);
		break;
	case IMPAIRMENT_KIND_SIZE:
		write_size(to, *number);
		break;
	case IMPAIRMENT_KIND_RATE:
		write_rate(to, *wide);
		break;
	case IMPAIRMENT_KIND_WORD:
		fputs(field->words[*number], to);
		break;
	case IMPAIRMENT_KIND_QUEUE:
		if (impairment->queue_frames)
			fprintf(to, "%up", impairment->queue_frames);
		else
			write_size(to, impairment->queue_bytes);
		break;
	case IMPAIRMENT_KIND_GILBERT:
		write_chain(to, &impairment->gilbert_elliott);
		break;
	case IMPAIRMENT_KIND_SEED:
		fprintf(to, "%llu", (unsigned long long)impairment->seed);
		break;
	case IMPAIRMENT_KIND_FILTER:
		write_quoted(to, impairment->loss_match);
		break;
	}
}

char *impairment_text(const struct impairment *impairment)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	bool is_bad, is_first = true;

	if (!to)
		return NULL;
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++) {
		const struct impairment_field *field = &impairment_fields[i];

		if (!impairment_has(impairment, field))
			continue;
		fprintf(to, "%s%s: ", is_first ? "" : ", ", field->name);
		write_value(to, impairment, field);
		is_first = false;
	}
	if (is_first)
		fputs("none", to);
	is_bad = ferror(to) != 0;
	if (fclose(to) == 0 && !is_bad)
		return text;
	free(text);
	return NULL;
}
