/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/top_screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/table.h"

#define LINES_ABOVE 3 /* Of the ports: what this is, the keys, the heads. */
#define KEY_ESCAPE '\x1b'
#define KEY_CTRL_C '\x03'

static const char *const order_names[PORT_RATES_ORDERS] = {
	[PORT_RATES_BY_BITS] = "bits",
	[PORT_RATES_BY_FRAMES] = "frames",
	[PORT_RATES_BY_DROPS] = "drops",
	[PORT_RATES_BY_NAME] = "name",
};

/* "12.3M", of powers of 1000, with three digits that count; "-" if it is not known. */
static void add_rate(struct table *table, const json_t *value)
{
	static const char *const units[] = {"", "k", "M", "G", "T"};
	double rate = json_number_value(value);
	size_t unit = 0;

	if (!json_is_number(value)) {
		table_add(table, "-");
		return;
	}
	for (; rate >= 999.5 && unit < 4; unit++)
		rate /= 1000;
	table_add(table, "%.*f%s", rate == 0 || rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : 2, rate, units[unit]);
}

static void add_count(struct table *table, const json_t *value)
{
	if (json_is_integer(value))
		table_add(table, "%lld", (long long)json_integer_value(value));
	else
		table_add(table, "-");
}

/* "250/256": buffers that are free, of so many. */
static void add_ring(struct table *table, const json_t *ring)
{
	if (json_is_object(ring))
		table_add(table, "%lld/%lld", (long long)json_integer_value(json_object_get(ring, "free")),
			  (long long)json_integer_value(json_object_get(ring, "size")));
	else
		table_add(table, "-");
}

/* Columns that are not always there. */
struct columns {
	bool ring, queued, uncaptured;
};

static struct columns columns_of(const json_t *ports)
{
	struct columns columns = {0};

	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);

		columns.ring |= json_is_object(json_object_get(port, "rx_ring"));
		columns.queued |= json_is_integer(json_object_get(port, "queued"));
		columns.uncaptured |= json_integer_value(json_object_get(port, "capture_lost")) > 0;
	}
	return columns;
}

static void add_port(struct table *table, const json_t *port, const struct columns *columns)
{
	char *drops = cli_describe_drops(json_object_get(port, "drops"));
	const char *state = cli_string(port, "state");

	table_add(table, "%s", cli_string(port, "name"));
	table_add(table, "%s", *state ? state : "-");
	add_rate(table, json_object_get(port, "tx_frames_per_second"));
	add_rate(table, json_object_get(port, "tx_bits_per_second"));
	add_rate(table, json_object_get(port, "rx_frames_per_second"));
	add_rate(table, json_object_get(port, "rx_bits_per_second"));
	if (columns->ring)
		add_ring(table, json_object_get(port, "rx_ring"));
	if (columns->queued)
		add_count(table, json_object_get(port, "queued"));
	if (columns->uncaptured)
		add_count(table, json_object_get(port, "capture_lost"));
	add_rate(table, json_object_get(port, "drops_per_second"));
	table_add(table, "%s", drops ? drops : "");
	free(drops);
}

static void put_table(FILE *to, const json_t *ports)
{
	static const char *const rates[] = {"TX FRAMES", "TX BITS", "RX FRAMES", "RX BITS"};
	const struct columns columns = columns_of(ports);
	struct table table = {.columns = 8u + columns.ring + columns.queued + columns.uncaptured};

	table.right = (1u << (table.columns - 1)) - 4; /* All but the first two and the last. */
	table_add(&table, "PORT");
	table_add(&table, "STATE");
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		table_add(&table, "%s", rates[i]);
	if (columns.ring)
		table_add(&table, "RX FREE");
	if (columns.queued)
		table_add(&table, "QUEUED");
	if (columns.uncaptured)
		table_add(&table, "UNCAPTURED");
	table_add(&table, "DROPS");
	table_add(&table, "DROPPED");
	for (size_t i = 0; i < json_array_size(ports); i++)
		add_port(&table, json_array_get(ports, i), &columns);
	table_print(&table, to, 0);
}

/* "Lab office, up 3 min 05 s; each second, of the last 1.0 s; by bits" */
static void put_head(FILE *to, const json_t *rates, enum port_rates_order order)
{
	const json_t *interval = json_object_get(rates, "interval");
	char text[32];

	fprintf(to, "Lab %s, up %s; ", cli_string(rates, "lab"),
		cli_duration(json_number_value(json_object_get(rates, "uptime")), text));
	if (json_is_real(interval))
		fprintf(to, "each second, of the last %s; by %s\n", cli_duration(json_real_value(interval), text),
			order_names[order]);
	else
		fputs("rates are not known yet\n", to);
}

void top_print(json_t *rates)
{
	port_rates_sort(rates, PORT_RATES_BY_BITS);
	put_head(stdout, rates, PORT_RATES_BY_BITS);
	put_table(stdout, json_object_get(rates, "ports"));
	putchar('\n');
	fflush(stdout);
}

bool top_screen_possible(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void top_screen_open(struct top_screen *screen)
{
	terminal_make_raw(&screen->terminal);
	fputs("\x1b[?1049h\x1b[?25l", stdout); /* The alternate screen, without a cursor. */
	fflush(stdout);
}

void top_screen_close(struct top_screen *screen)
{
	fputs("\x1b[?25h\x1b[?1049l", stdout);
	fflush(stdout);
	terminal_restore(&screen->terminal);
}

/* Draws the first line of 'text', as much of it as there are columns, and returns what follows it. */
static const char *draw_line(const char *text, int columns)
{
	size_t length = strcspn(text, "\n"), end = 0;

	for (int room = columns; end < length; end++)
		if (((unsigned char)text[end] & 0xc0) != 0x80 && room-- == 0)
			break;
	printf("%.*s\x1b[K", (int)end, text);
	return text + length + (text[length] == '\n');
}

/* Leaves no lines free below the last port while there are some above the first that is shown. */
static void keep_in_range(struct top_screen *screen, size_t count, int rows)
{
	screen->shown = rows > LINES_ABOVE + 1 ? (size_t)rows - LINES_ABOVE : 1;
	if (screen->first + screen->shown > count)
		screen->first = count > screen->shown ? count - screen->shown : 0;
}

/* What is to be drawn, of all ports; to be freed. */
static char *make_text(const struct top_screen *screen, const json_t *rates)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	put_head(to, rates, screen->order);
	fputs("Sort by b)its f)rames d)rops n)ame or left, right; move by up, down; q)uit\n", to);
	put_table(to, json_object_get(rates, "ports"));
	fclose(to);
	return text;
}

void top_screen_draw(struct top_screen *screen, json_t *rates)
{
	const char *at;
	int rows, columns;
	char *text;

	port_rates_sort(rates, screen->order);
	at = text = make_text(screen, rates);
	if (!text)
		return;
	terminal_size(&rows, &columns);
	keep_in_range(screen, json_array_size(json_object_get(rates, "ports")), rows);
	fputs("\x1b[H", stdout);
	for (int row = 0; row < rows && *at; row++) {
		for (size_t i = 0; row == LINES_ABOVE && i < screen->first && *at; i++)
			at = strchrnul(at, '\n') + 1;
		fputs(row ? "\r\n" : "", stdout);
		at = draw_line(at, columns);
	}
	fputs("\x1b[J", stdout); /* What was below. */
	fflush(stdout);
	free(text);
}

static void scroll(struct top_screen *screen, long lines)
{
	screen->first = lines < 0 && screen->first < (size_t)-lines ? 0 : screen->first + (size_t)lines;
}

static void next_order(struct top_screen *screen, int step)
{
	screen->order = (enum port_rates_order)(((int)screen->order + PORT_RATES_ORDERS + step) % PORT_RATES_ORDERS);
}

static void begin_sequence(struct top_screen *screen)
{
	screen->key = TOP_KEY_SEQUENCE;
	screen->parameter = 0;
}

/* What follows ESC [ or ESC O: perhaps a number, then what ends the sequence. */
static void type_sequence(struct top_screen *screen, char byte)
{
	if (byte >= '0' && byte <= '9')
		screen->parameter = (screen->parameter * 10 + (unsigned int)(byte - '0')) % 1000;
	if (byte >= 0x20 && byte < 0x40)
		return;
	screen->key = TOP_KEY_PLAIN;
	if (byte == 'A')
		scroll(screen, -1);
	else if (byte == 'B')
		scroll(screen, 1);
	else if (byte == 'C')
		next_order(screen, 1);
	else if (byte == 'D')
		next_order(screen, -1);
	else if (byte == '~' && screen->parameter == 5) /* Page up. */
		scroll(screen, -(long)screen->shown);
	else if (byte == '~' && screen->parameter == 6)
		scroll(screen, (long)screen->shown);
}

static bool type_plain(struct top_screen *screen, char byte)
{
	screen->key = TOP_KEY_PLAIN;
	switch (byte) {
	case 'q':
	case 'Q':
	case KEY_CTRL_C:
		return false;
	case KEY_ESCAPE:
		screen->key = TOP_KEY_ESCAPE;
		break;
	case 'b':
		screen->order = PORT_RATES_BY_BITS;
		break;
	case 'f':
		screen->order = PORT_RATES_BY_FRAMES;
		break;
	case 'd':
		screen->order = PORT_RATES_BY_DROPS;
		break;
	case 'n':
		screen->order = PORT_RATES_BY_NAME;
		break;
	default:
		break;
	}
	return true;
}

bool top_screen_type(struct top_screen *screen, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (screen->key == TOP_KEY_SEQUENCE)
			type_sequence(screen, bytes[i]);
		else if (screen->key == TOP_KEY_ESCAPE && (bytes[i] == '[' || bytes[i] == 'O'))
			begin_sequence(screen);
		else if (!type_plain(screen, bytes[i]))
			return false;
	}
	return true;
}
