/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/trace_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/capture_source.h"
#include "netlab/topology_units.h"

int trace_source_set_last(struct trace_source *source, const struct cli *cli, const char *option, const char *argument)
{
	uint64_t nanoseconds = 0;
	const char *problem = strcmp(argument, "all") ? topology_parse_time(argument, &nanoseconds) : NULL;

	if (problem)
		return cli_usage(cli, "%s \"%s\" %s", option, argument, problem);
	source->has_last = nanoseconds > 0;
	source->last = (double)nanoseconds / 1e9;
	return 0;
}

const char *trace_source_name(const struct trace_source *source, char text[256])
{
	if (source->lab)
		snprintf(text, 256, "what is recorded of lab %s", source->lab);
	else
		snprintf(text, 256, "%s", strcmp(source->path, "-") ? source->path : "standard input");
	return text;
}

static int out_of_memory(struct error *error)
{
	return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
}

static int open_lab(struct trace_source *source, const struct cli *cli, struct error *error)
{
	const struct capture_source_options options = {.has_last = true, .last = source->last};
	int fd;

	source->lab = cli_find_lab(cli, NULL, error);
	if (!source->lab)
		return -ENOENT;
	fd = capture_source_open(source->lab, &options, error);
	if (fd < 0)
		return fd;
	source->stream = fdopen(fd, "r");
	if (source->stream)
		return 0;
	close(fd);
	return out_of_memory(error);
}

static int open_file(struct trace_source *source, struct error *error)
{
	source->stream = strcmp(source->path, "-") ? fopen(source->path, "re") : stdin;
	if (!source->stream)
		return error_set(error, ERROR_FAILED, errno, "%s: %s", source->path, strerror(errno));
	return 0;
}

/* Reads the whole file for the time of its last packet, and begins again. */
static int find_beginning(struct trace_source *source, struct error *error)
{
	const uint64_t before = (uint64_t)(source->last * 1e9);
	struct pcapng_reader_packet packet;
	uint64_t latest = 0;
	int result;

	while ((result = trace_source_next(source, &packet, error)) > 0)
		latest = packet.time > latest ? packet.time : latest;
	if (result < 0)
		return result;
	if (fseeko(source->stream, 0, SEEK_SET) < 0)
		return error_set(error, ERROR_USAGE, errno,
				 "the last packets can only be told from the others in a file that can be read twice");
	source->from = latest > before ? latest - before : 0;
	source->missing = 0;
	pcapng_reader_destroy(source->reader);
	source->reader = pcapng_reader_create(source->stream);
	return source->reader ? 0 : out_of_memory(error);
}

int trace_source_open(struct trace_source *source, const struct cli *cli, struct error *error)
{
	int result = source->path ? open_file(source, error) : open_lab(source, cli, error);

	if (result < 0)
		return result;
	source->reader = pcapng_reader_create(source->stream);
	if (!source->reader)
		return out_of_memory(error);
	return source->path && source->has_last ? find_beginning(source, error) : 0;
}

int trace_source_next(struct trace_source *source, struct pcapng_reader_packet *packet, struct error *error)
{
	char name[256];
	int result;

	do
		result = pcapng_reader_next(source->reader, packet);
	while (result > 0 && packet->time < source->from);
	source->is_cut_off = result == -EPIPE;
	if (result > 0) {
		source->has_packets = true;
		source->has_ids |= packet->has_id;
		source->missing += packet->lost;
	} else {
		source->missing += pcapng_reader_untold(source->reader);
	}
	if (result >= 0 || source->is_cut_off)
		return result > 0;
	return error_set(error, ERROR_FAILED, -result, "%s %s", trace_source_name(source, name),
			 pcapng_reader_problem(source->reader));
}

int trace_source_check(const struct trace_source *source, struct error *error)
{
	char name[256];

	if (!source->has_packets || source->has_ids)
		return 0;
	return error_set(error, ERROR_FAILED, EINVAL, "the packets in %s have no ids: no netlab has written it",
			 trace_source_name(source, name));
}

void trace_source_close(struct trace_source *source)
{
	pcapng_reader_destroy(source->reader);
	if (source->stream && source->stream != stdin)
		fclose(source->stream);
	free(source->lab);
}

void trace_source_put_notes(const struct trace_source *source)
{
	if (source->missing > 0)
		printf("\n%llu frame%s at ports %s missing here: the capture did not keep up.\n",
		       (unsigned long long)source->missing, source->missing == 1 ? "" : "s",
		       source->missing == 1 ? "is" : "are");
	if (source->is_cut_off)
		puts("\nThe capture ends within a frame: whoever wrote it was ended, or is still at it.");
}

void trace_source_add_notes(const struct trace_source *source, json_t *answer)
{
	json_object_set_new(answer, "missing", json_integer((json_int_t)source->missing));
	json_object_set_new(answer, "cut_off", json_boolean(source->is_cut_off));
}
