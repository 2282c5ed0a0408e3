/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netlab/cli/capture_request.h"
#include "netlab/frame_summary.h"

/* netlab trace: reads a capture into an index, and asks that for the path of a frame, or for what there was between
 * two nodes. */

#define PACKETS_USUAL 20
#define PACKETS_MAX 1000000

struct question {
	const struct cli *cli;
	struct trace_source source;
	bool is_flow;
	unsigned long long count; /* Of packets of a flow. */
	uint64_t id;
	const char *a, *b;
};

json_t *trace_pack_time(uint64_t nanoseconds)
{
	char text[40];

	snprintf(text, sizeof(text), "%" PRIu64 ".%09" PRIu64, nanoseconds / 1000000000, nanoseconds % 1000000000);
	return json_string(text);
}

const char *trace_local_time(const json_t *object, bool has_date, char text[64])
{
	const char *time = cli_string(object, "time"), *fraction = strchr(time, '.');
	time_t seconds = (time_t)strtoll(time, NULL, 10);
	struct tm local;
	size_t size;

	if (!localtime_r(&seconds, &local))
		local = (struct tm){.tm_mday = 1};
	size = strftime(text, 40, has_date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &local);
	snprintf(text + size, 64 - size, "%s", fraction ? fraction : "");
	return text;
}

json_t *trace_describe(const struct trace *trace, uint32_t number)
{
	const struct frame_index_frame *frame = frame_index_get(trace->index, number);
	char summary[FRAME_SUMMARY_MAX];

	frame_summary(frame_index_bytes(trace->index, frame), frame->byte_count, summary);
	return json_pack("{s:I, s:o, s:I, s:s}", "id", (json_int_t)frame->id, "time",
			 trace_pack_time(frame_index_crossing(trace->index, frame->first)->time), "size",
			 (json_int_t)frame->size, "summary", summary);
}

/* The command line. */

static int set_id(struct question *question, const char *text)
{
	char *end;

	errno = 0;
	question->id = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno)
		return cli_usage(question->cli,
				 "\"%s\" is no frame's id; it is a number, which Wireshark shows as "
				 "frame.packet_id",
				 text);
	return 0;
}

static int set_arguments(struct question *question, int count, char **arguments)
{
	if (question->count && !question->is_flow)
		return cli_usage(question->cli, "-n goes with --flow");
	if (!question->is_flow)
		return count == 1 ? set_id(question, arguments[0]) :
				    cli_usage(question->cli, "the id of one frame, or --flow and two nodes");
	if (count != 2 || !strcmp(arguments[0], arguments[1]))
		return cli_usage(question->cli, "--flow wants two nodes");
	question->a = arguments[0];
	question->b = arguments[1];
	if (!question->count)
		question->count = PACKETS_USUAL;
	return 0;
}

static int parse(struct question *question, struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"flow", no_argument, NULL, 'f'},
		{"read", required_argument, NULL, 'r'},
		{"last", required_argument, NULL, 'l'},
		{"count", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = cli_option(cli, argc, argv, "r:n:", options)) != -1) {
		if (option == 'f') {
			question->is_flow = true;
		} else if (option == 'r') {
			question->source.path = optarg;
		} else if (option == 'n') {
			question->count = capture_request_number(optarg, PACKETS_MAX);
			if (!question->count)
				return cli_usage(cli, "--count takes a number from 1 to %d, not \"%s\"", PACKETS_MAX,
						 optarg);
		} else if (option == '?' || trace_source_set_last(&question->source, cli, "--last", optarg) != 0) {
			return ERROR_USAGE;
		}
	}
	return set_arguments(question, argc - optind, argv + optind);
}

/* Reading. */

/* Makes room.  Returns 1 to go on, or 0 when what was asked for is there and would be lost. */
static int make_room(const struct question *question, struct frame_index *index, struct error *error)
{
	if (!question->is_flow && frame_index_find(index, question->id) < frame_index_old_count(index))
		return 0;
	if (frame_index_forget(index) < 0)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	return 1;
}

/* Adds the packet to the index.  Returns 1, 0 when there is to be no more, or a negative errno value. */
static int add(const struct question *question, struct frame_index *index, const struct pcapng_reader_packet *packet,
	       struct error *error)
{
	int result;

	while ((result = frame_index_add(index, packet)) == -ENOSPC) {
		result = make_room(question, index, error);
		if (result <= 0)
			return result;
	}
	return result < 0 ? error_set(error, ERROR_FAILED, -result, "there is no memory, or too many ports") : 1;
}

static int read_all(struct question *question, struct frame_index *index, struct error *error)
{
	struct pcapng_reader_packet packet;
	int result;

	while ((result = trace_source_next(&question->source, &packet, error)) > 0) {
		result = add(question, index, &packet, error);
		if (result <= 0)
			break;
	}
	return result < 0 ? result : trace_source_check(&question->source, error);
}

/* Answering. */

static int find_owner(const struct question *question, const struct frame_index *index, const char *name,
		      uint32_t *owner, struct error *error)
{
	char source[256];

	*owner = frame_index_find_owner(index, name);
	if (*owner != FRAME_INDEX_NONE)
		return 0;
	return error_set(error, ERROR_FAILED, ENOENT, "there is no frame of \"%s\" in %s", name,
			 trace_source_name(&question->source, source));
}

static json_t *answer_flow(const struct question *question, const struct trace *trace, struct error *error)
{
	uint32_t a, b;

	if (find_owner(question, trace->index, question->a, &a, error) < 0 ||
	    find_owner(question, trace->index, question->b, &b, error) < 0)
		return NULL;
	return trace_flow(trace, a, b, question->count);
}

static json_t *answer_path(const struct question *question, const struct trace *trace, struct error *error)
{
	uint32_t number = frame_index_find(trace->index, question->id), count = frame_index_count(trace->index);
	char source[256];

	if (number != FRAME_INDEX_NONE)
		return trace_path(trace, number);
	trace_source_name(&question->source, source);
	if (count == 0)
		error_set(error, ERROR_FAILED, ENOENT, "there are no frames in %s", source);
	else
		error_set(error, ERROR_FAILED, ENOENT,
			  "there is no frame %" PRIu64 " in %s, which begins with frame %" PRIu64 "%s", question->id,
			  source, frame_index_get(trace->index, 0)->id,
			  question->source.lab ? "; -r FILE reads what was written of others" : "");
	return NULL;
}

static void put_answer(const struct question *question, const struct frame_index *index, json_t *answer)
{
	json_int_t forgotten = (json_int_t)frame_index_forgotten(index);

	if (question->cli->json) {
		trace_source_add_notes(&question->source, answer);
		json_object_set_new(answer, "forgotten", json_integer(forgotten));
		cli_put_json(answer);
		return;
	}
	(question->is_flow ? trace_flow_put : trace_path_put)(answer);
	if (forgotten > 0)
		printf("\nThis is too much to be looked at at once: the first %" JSON_INTEGER_FORMAT
		       " frames were left out.\n",
		       forgotten);
	trace_source_put_notes(&question->source);
}

static int answer(const struct question *question, const struct frame_index *index, struct error *error)
{
	struct frame_links *links = frame_links_create(index);
	struct trace trace = {.index = index, .links = links};
	json_t *result = NULL;

	if (links)
		result = (question->is_flow ? answer_flow : answer_path)(question, &trace, error);
	if (result)
		put_answer(question, index, result);
	else if (!error->class)
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	json_decref(result);
	frame_links_destroy(links);
	return result ? 0 : -EINVAL;
}

int cli_trace(struct cli *cli, int argc, char **argv)
{
	struct question question = {.cli = cli};
	struct error error = {0};
	struct frame_index *index;
	int result = parse(&question, cli, argc, argv);

	if (result != 0)
		return result;
	index = frame_index_create(&frame_index_usual_limits);
	if (index)
		result = trace_source_open(&question.source, cli, &error);
	else
		result = error_set(&error, ERROR_FAILED, ENOMEM, "out of memory");
	if (result == 0)
		result = read_all(&question, index, &error);
	if (result == 0)
		result = answer(&question, index, &error);
	trace_source_close(&question.source);
	frame_index_destroy(index);
	return result < 0 ? cli_fail(&error) : 0;
}
