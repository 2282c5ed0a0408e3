/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/validate.h"

/* netlabd says up to which byte of a port's capture everything is that crossed the port so far.  So what lies between
 * two such places is what crossed it in between, and no clock is asked. */

/* Asks where the capture is.  Returns a new reference, or NULL with 'error' set. */
static json_t *ask_position(struct validate_count *count)
{
	return client_call(count->client, json_pack("{s:s, s:s}", "command", "capture-position", "port", count->port),
			   &count->error);
}

static bool open_capture(struct validate_count *count, const char *path)
{
	char text[PCAP_ERRBUF_SIZE];
	FILE *file = fopen(path, "re");

	if (!file) {
		error_set(&count->error, ERROR_FAILED, errno, "the capture of %s cannot be read: %s: %s", count->port,
			  path, strerror(errno));
		return false;
	}
	count->capture = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, text);
	if (!count->capture) {
		fclose(file);
		error_set(&count->error, ERROR_FAILED, EIO, "the capture of %s cannot be read: %s: %s", count->port,
			  path, text);
		return false;
	}
	count->file = file;
	return true;
}

bool validate_count_begin(struct validate_count *count, struct client *client, const char *port, const char *filter)
{
	char room[FRAME_FILTER_PROBLEM_MAX];
	const char *problem;
	json_t *position;
	bool is_good;

	*count = (struct validate_count){.client = client, .port = port};
	problem = frame_filter_compile(&count->filter, filter, room);
	count->has_filter = !problem;
	if (problem) {
		error_set(&count->error, ERROR_FAILED, EINVAL, "filter \"%s\" %s", filter, problem);
		return false;
	}
	position = ask_position(count);
	if (!position)
		return false;
	count->at = (uint64_t)json_integer_value(json_object_get(position, "position"));
	count->lost = json_integer_value(json_object_get(position, "lost"));
	is_good = open_capture(count, cli_string(position, "file"));
	json_decref(position);
	return is_good;
}

/* Reads the file up to 'end'. */
static bool read_frames(struct validate_count *count, uint64_t end)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	off_t at = (off_t)count->at;

	if (fseeko(count->file, at, SEEK_SET) != 0)
		at = -1;
	while (at >= 0 && (uint64_t)at < end) {
		if (pcap_next_ex(count->capture, &header, &bytes) != 1)
			break;
		count->matched += frame_filter_passes(&count->filter, header, bytes);
		at = ftello(count->file);
	}
	if (at >= 0 && (uint64_t)at == end) {
		count->at = end;
		return true;
	}
	error_set(&count->error, ERROR_FAILED, EIO,
		  "the capture of %s is not what netlabd wrote; somebody else has changed the file", count->port);
	return false;
}

bool validate_count_update(struct validate_count *count)
{
	json_t *position = ask_position(count);
	uint64_t end = (uint64_t)json_integer_value(json_object_get(position, "position"));
	json_int_t lost = json_integer_value(json_object_get(position, "lost")) - count->lost;

	if (!position)
		return false;
	json_decref(position);
	if (lost) {
		error_set(&count->error, ERROR_FAILED, EIO,
			  "the capture of %s has lost %lld frame%s meanwhile, so they cannot be counted", count->port,
			  (long long)lost, lost == 1 ? "" : "s");
		return false;
	}
	return read_frames(count, end);
}

void validate_count_end(struct validate_count *count)
{
	if (count->has_filter)
		frame_filter_clear(&count->filter);
	if (count->capture)
		pcap_close(count->capture);
}
