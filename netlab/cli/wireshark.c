/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/wireshark.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/capture_request.h"
#include "netlab/json_text.h"

/* netlab wireshark: frames of a running lab in Wireshark, which reads them from netlabd itself. */

enum { OPTION_INSTALL = 1, OPTION_UNINSTALL, OPTION_FOLDER };

extern char **environ;

struct wireshark {
	const struct cli *cli;
	struct capture_request request;
	bool installs, uninstalls;
	const char *folder;
};

/* Starts it in a session of its own, so that it outlives the terminal, with the capture as standard input. */
static int spawn(int source, pid_t *pid, struct error *error)
{
	static const char *const argv[] = {"wireshark", "-k", "-i", "-", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int result;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, source, STDIN_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	result = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (result == ENOENT)
		return error_set(error, ERROR_HOST, result,
				 "there is no wireshark here; install it (\"sudo apt install wireshark\"), or write a "
				 "file with \"netlab capture -w FILE\" and open that elsewhere");
	if (result)
		return error_set(error, ERROR_FAILED, result, "cannot run wireshark: %s", strerror(result));
	return 0;
}

/* Without a screen Wireshark would end after its start, when nobody looks any more. */
static int check_screen(struct error *error)
{
	if (getenv("DISPLAY") || getenv("WAYLAND_DISPLAY") || getenv("QT_QPA_PLATFORM"))
		return 0;
	return error_set(error, ERROR_HOST, ENODEV,
			 "there is no screen for Wireshark here (neither DISPLAY nor WAYLAND_DISPLAY is set); \"netlab "
			 "capture\" gives tshark the same, as in \"netlab capture --all | tshark -i -\"");
}

static int start(struct wireshark *wireshark)
{
	struct error error = {0};
	pid_t pid;
	int source = check_screen(&error);

	if (source == 0)
		source = capture_source_open(wireshark->request.lab, &wireshark->request.options, &error);
	if (source < 0)
		return cli_fail(&error);
	if (spawn(source, &pid, &error) < 0) {
		close(source);
		return cli_fail(&error);
	}
	close(source);
	if (wireshark->cli->json)
		cli_put_json(json_pack("{s:i}", "pid", (int)pid));
	return 0;
}

static int change_list(const struct wireshark *wireshark)
{
	struct error error = {0};
	char *path = wireshark->installs ? wireshark_install(wireshark->folder, &error) :
					   wireshark_uninstall(wireshark->folder, &error);

	if (!path)
		return cli_fail(&error);
	if (wireshark->cli->json)
		cli_put_json(json_pack("{s:o}", "link", json_text(path)));
	else if (wireshark->installs)
		printf("Ports of running labs are among Wireshark's interfaces now, by %s.\n", path);
	else
		printf("Nothing of netlab is among Wireshark's interfaces any more: %s is gone.\n", path);
	free(path);
	return 0;
}

static int parse(struct wireshark *wireshark, struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		CAPTURE_REQUEST_OPTIONS,
		{"install", no_argument, NULL, OPTION_INSTALL},
		{"uninstall", no_argument, NULL, OPTION_UNINSTALL},
		{"folder", required_argument, NULL, OPTION_FOLDER},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = cli_option(cli, argc, argv, CAPTURE_REQUEST_SHORTS, options)) != -1) {
		if (option == OPTION_INSTALL)
			wireshark->installs = true;
		else if (option == OPTION_UNINSTALL)
			wireshark->uninstalls = true;
		else if (option == OPTION_FOLDER)
			wireshark->folder = optarg;
		else if (capture_request_option(&wireshark->request, cli, option, optarg) != 0)
			return ERROR_USAGE;
	}
	if (wireshark->installs && wireshark->uninstalls)
		return cli_usage(cli, "--install or --uninstall");
	if ((wireshark->installs || wireshark->uninstalls) && (optind < argc || wireshark->request.is_all))
		return cli_usage(cli, "--install and --uninstall take no ports");
	if (wireshark->folder && !wireshark->installs && !wireshark->uninstalls)
		return cli_usage(cli, "--folder goes with --install or --uninstall");
	return 0;
}

int cli_wireshark(struct cli *cli, int argc, char **argv)
{
	struct wireshark wireshark = {.cli = cli};
	int code;

	capture_request_init(&wireshark.request);
	code = parse(&wireshark, cli, argc, argv);
	if (code == 0 && (wireshark.installs || wireshark.uninstalls))
		return change_list(&wireshark);
	if (code == 0)
		code = capture_request_find(&wireshark.request, cli, argc, argv);
	if (code == 0)
		code = start(&wireshark);
	capture_request_free(&wireshark.request);
	return code;
}
