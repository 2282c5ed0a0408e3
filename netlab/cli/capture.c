/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "netlab/capture_pump.h"
#include "netlab/cli/capture_request.h"
#include "netlab/json_text.h"
#include "netlab/topology_units.h"

/* netlab capture: frames of a running lab, as they cross, to a file or another program. */

#define FILES_MAX 1000000u

enum { OPTION_ROTATE_SIZE = 1, OPTION_ROTATE_TIME, OPTION_ROTATE_FILES };

struct capture {
	const struct cli *cli;
	struct capture_request request;
	struct capture_output_options to;
	struct capture_output output;
	struct capture_pump pump;
};

static int set_duration(struct capture *capture, const char *text)
{
	uint64_t nanoseconds = 0;
	const char *problem = topology_parse_time(text, &nanoseconds);

	if (problem || nanoseconds < 1000000)
		return cli_usage(capture->cli, "--duration \"%s\" %s", text, problem ? problem : "is too short");
	capture->pump.milliseconds = (int64_t)(nanoseconds / 1000000);
	return 0;
}

static int set_count(struct capture *capture, const char *text)
{
	capture->pump.frames_max = capture_request_number(text, ULLONG_MAX);
	return capture->pump.frames_max ? 0 :
					  cli_usage(capture->cli, "--count takes a number of frames, not \"%s\"", text);
}

/* Complains about an option for series of files whose 'value' is 0 or that has a 'problem'. */
static int check_rotation(const struct capture *capture, const char *name, const char *text, const char *problem,
			  uint64_t value)
{
	if (!problem && value)
		return 0;
	return cli_usage(capture->cli, "%s \"%s\" %s", name, text, problem ? problem : "must be more than that");
}

static int set_option(struct capture *capture, int option)
{
	struct capture_output_options *to = &capture->to;
	const char *problem;

	switch (option) {
	case 'w':
		to->path = strcmp(optarg, "-") ? optarg : NULL;
		return 0;
	case 'c':
		return set_count(capture, optarg);
	case 'd':
		return set_duration(capture, optarg);
	case OPTION_ROTATE_SIZE:
		problem = topology_parse_size(optarg, &to->rotate_size);
		return check_rotation(capture, "--rotate-size", optarg, problem, to->rotate_size);
	case OPTION_ROTATE_TIME:
		problem = topology_parse_time(optarg, &to->rotate_time);
		return check_rotation(capture, "--rotate-time", optarg, problem, to->rotate_time);
	case OPTION_ROTATE_FILES:
		to->files_max = (unsigned int)capture_request_number(optarg, FILES_MAX);
		return check_rotation(capture, "--rotate-files", optarg, NULL, to->files_max);
	default:
		return capture_request_option(&capture->request, capture->cli, option, optarg);
	}
}

static int parse(struct capture *capture, struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		CAPTURE_REQUEST_OPTIONS,
		{"write", required_argument, NULL, 'w'},
		{"count", required_argument, NULL, 'c'},
		{"duration", required_argument, NULL, 'd'},
		{"rotate-size", required_argument, NULL, OPTION_ROTATE_SIZE},
		{"rotate-time", required_argument, NULL, OPTION_ROTATE_TIME},
		{"rotate-files", required_argument, NULL, OPTION_ROTATE_FILES},
		{NULL, 0, NULL, 0},
	};
	const struct capture_output_options *to = &capture->to;
	bool rotates;
	int option;

	while ((option = cli_option(cli, argc, argv, CAPTURE_REQUEST_SHORTS "w:c:d:", options)) != -1)
		if (set_option(capture, option) != 0)
			return ERROR_USAGE;
	rotates = to->rotate_size || to->rotate_time;
	if (to->files_max && !rotates)
		return cli_usage(cli, "--rotate-files goes with --rotate-size or --rotate-time");
	if (rotates && !to->path)
		return cli_usage(cli, "a series of files needs a name: -w FILE");
	if (!to->path && cli->json)
		return cli_usage(cli, "--format json needs -w FILE: standard output is for the capture");
	if (!to->path && isatty(STDOUT_FILENO))
		return cli_usage(cli, "a capture is not for a terminal; write it with -w FILE, or hand it on with "
				      "\"| wireshark -k -i -\"");
	return 0;
}

static void put_summary(const struct capture *capture)
{
	const struct capture_pump *pump = &capture->pump;

	if (capture->cli->json)
		cli_put_json(json_pack("{s:o, s:i, s:I, s:I}", "file", json_text(capture->to.path), "files",
				       (int)capture->output.number, "frames", (json_int_t)pump->frames, "lost",
				       (json_int_t)pump->lost));
	else
		fprintf(stderr, "%llu frame%s, %llu lost to this capture\n", (unsigned long long)pump->frames,
			pump->frames == 1 ? "" : "s", (unsigned long long)pump->lost);
}

static int run(struct capture *capture)
{
	struct error error = {0};
	struct capture_output *output = &capture->output;
	int result, closed;

	/* What is wrong with the ports must not cost a file that is there. */
	capture->pump.source = capture_source_open(capture->request.lab, &capture->request.options, &error);
	if (capture->pump.source < 0)
		return cli_fail(&error);
	result = capture_output_open(output, &capture->to, &error);
	if (result == 0) {
		capture->pump.output = output;
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "Capturing in lab %s; Ctrl-C ends it.\n", capture->request.lab);
		result = capture_pump_run(&capture->pump, &error);
		if (result == 0)
			put_summary(capture);
	}
	close(capture->pump.source);
	closed = capture_output_close(output);
	if (result == 0 && closed < 0)
		result = error_set(&error, ERROR_FAILED, -closed, "%s: %s", capture->to.path, strerror(-closed));
	return result == 0 || result == -EPIPE ? 0 : cli_fail(&error);
}

int cli_capture(struct cli *cli, int argc, char **argv)
{
	struct capture capture = {.cli = cli};
	int code;

	capture_request_init(&capture.request);
	code = parse(&capture, cli, argc, argv);
	if (code == 0)
		code = capture_request_find(&capture.request, cli, argc, argv);
	if (code == 0)
		code = run(&capture);
	capture_request_free(&capture.request);
	return code;
}
