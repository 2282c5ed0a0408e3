/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/extcap.h"
#include "netlab/version.h"

static void put_overview(FILE *to)
{
	fputs("netlab runs virtual network labs: real Linux guests, wired and captured.\n\n"
	      "Usage: netlab [--lab NAME] [--format text|json] COMMAND [ARGUMENTS...]\n\n",
	      to);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (command->summary)
			fprintf(to, "  %-11s %s\n", command->name, command->summary);
	fputs("\n\"netlab COMMAND --help\" explains a command. Where NODE is wanted, LAB/NODE may be given.\n"
	      "netlab --version prints the version.\n"
	      "Exit codes: 0 done, 1 failed, 2 usage or bad topology, 3 the host lacks something.\n",
	      to);
}

static const struct cli_command *find_command(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

static int unknown_command(const char *name)
{
	cli_error("there is no command \"%s\"; \"netlab help\" lists them", name);
	return ERROR_USAGE;
}

int cli_help(struct cli *cli, int argc, char **argv)
{
	static char help[] = "--help";
	char *arguments[] = {argc > 1 ? argv[1] : NULL, help, NULL};

	if (argc <= 1 || argv[1][0] == '-') {
		put_overview(stdout);
		return 0;
	}
	cli->command = find_command(argv[1]);
	if (!cli->command)
		return unknown_command(argv[1]);
	optind = 0;
	return cli_option(cli, 2, arguments, "", NULL) == '?' ? ERROR_USAGE : 0; /* Does not come back. */
}

/* A descriptor opened later must not become standard output because the caller had closed that. */
static void open_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			_exit(ERROR_FAILED);
}

/* Options before the command.  Returns -1, or what to exit with. */
static int parse_global(struct cli *cli, int argc, char **argv)
{
	static const struct cli_command global = {
		.name = "help",
		.usage = "netlab [--lab NAME] [--format text|json] COMMAND [ARGUMENTS...]",
	};
	static const struct option options[] = {{"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	int option;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		put_overview(stdout);
		return 0;
	}
	cli->command = &global;
	while ((option = cli_option(cli, argc, argv, "+V", options)) != -1) {
		if (option != 'V')
			return ERROR_USAGE;
		puts("netlab " NETLAB_VERSION);
		return 0;
	}
	if (optind < argc)
		return -1;
	put_overview(stderr);
	return ERROR_USAGE;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	int first, code;

	open_standard_descriptors();
	code = extcap_is_meant(argc, argv) ? extcap_run(argc, argv) : parse_global(&cli, argc, argv);
	if (code < 0) {
		first = optind;
		cli.command = find_command(argv[first]);
		if (!cli.command)
			return unknown_command(argv[first]);
		optind = 0; /* getopt_long() starts afresh. */
		code = cli.command->run(&cli, argc - first, argv + first);
	}
	if ((fflush(stdout) || ferror(stdout)) && code == 0) {
		cli_error("cannot write the output");
		code = ERROR_FAILED;
	}
	return code;
}
