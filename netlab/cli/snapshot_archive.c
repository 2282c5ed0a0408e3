/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/snapshot_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/snapshot_archive.h"

#define PROGRESS_AFTER 1000 /* Milliseconds. */
#define PROGRESS_EVERY 200

struct progress_line {
	const char *verb; /* "exported" */
	bool is_wanted;
	bool is_shown;
	long long next; /* When it is drawn again. */
};

/* snapshot_watch.progress */
static void show(void *opaque, uint64_t done, uint64_t total)
{
	struct progress_line *line = opaque;
	char texts[2][32];

	if (!line->is_wanted || cli_milliseconds() < line->next)
		return;
	fprintf(stderr, "\r\x1b[K%s of %s %s", cli_size((json_int_t)done, texts[0]),
		cli_size((json_int_t)total, texts[1]), line->verb);
	fflush(stderr);
	line->is_shown = true;
	line->next = cli_milliseconds() + PROGRESS_EVERY;
}

/* Signals are to be read rather than to end the program where it stands, which would leave half a file. */
static int take_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void begin(struct progress_line *line, struct snapshot_watch *watch, const char *verb)
{
	const char *term = getenv("TERM");

	*line = (struct progress_line){.verb = verb,
				       .is_wanted = isatty(STDERR_FILENO) && term && strcmp(term, "dumb"),
				       .next = cli_milliseconds() + PROGRESS_AFTER};
	*watch = (struct snapshot_watch){.progress = show, .opaque = line, .stop_fd = take_signals()};
}

/* Returns the exit code of what ended with 'result'. */
static int end(const struct progress_line *line, const struct snapshot_watch *watch, int result, const char *file,
	       const struct error *error)
{
	struct signalfd_siginfo info;
	int code = 0;

	if (line->is_shown)
		fputs("\r\x1b[K", stderr);
	if (result == -EINTR && read(watch->stop_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		code = 128 + (int)info.ssi_signo;
	} else if (result < 0) {
		cli_error("%s: %s", file, error->text);
		code = error->class ? (int)error->class : ERROR_FAILED;
	}
	if (watch->stop_fd >= 0)
		close(watch->stop_fd);
	return code;
}

/* Exporting. */

struct target {
	const char *file;
	char *temporary; /* NULL: written in place, since it is a pipe or a device. */
	int fd;
};

static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* Returns 0 or the exit code, after complaining. */
static int open_target(struct target *target, bool replace)
{
	struct stat status;
	bool is_there = stat(target->file, &status) == 0;

	if (is_there && S_ISDIR(status.st_mode)) {
		cli_error("%s is a folder; name the file that the snapshot is to become", target->file);
		return ERROR_USAGE;
	}
	if (is_there && S_ISREG(status.st_mode) && !replace) {
		cli_error("%s exists already; --replace puts the snapshot in its place", target->file);
		return ERROR_FAILED;
	}
	if (is_there && !S_ISREG(status.st_mode)) {
		target->fd = open(target->file, O_WRONLY | O_CLOEXEC);
	} else {
		target->temporary = allocate_text("%s.XXXXXX", target->file);
		target->fd = mkostemp(target->temporary, O_CLOEXEC);
	}
	if (target->fd >= 0)
		return 0;
	cli_error("cannot write %s: %s", target->file, strerror(errno));
	free(target->temporary);
	return ERROR_FAILED;
}

/* Gives the file its name, or removes it.  Returns 'code', or that of what went wrong here. */
static int close_target(struct target *target, int code)
{
	bool is_good = code == 0;

	if (is_good && target->temporary)
		is_good = fchmod(target->fd, usual_mode()) == 0 && fsync(target->fd) == 0;
	if (close(target->fd) < 0)
		is_good = false;
	if (is_good && target->temporary)
		is_good = rename(target->temporary, target->file) == 0;
	if (code == 0 && !is_good) {
		cli_error("cannot write %s: %s", target->file, strerror(errno));
		code = ERROR_FAILED;
	}
	if (code != 0 && target->temporary)
		unlink(target->temporary);
	free(target->temporary);
	return code;
}

static int write_archive(const char *lab, const char *name, int fd, const char *file)
{
	struct error error = {.class = ERROR_NONE};
	struct progress_line line;
	struct snapshot_watch watch;
	int result;

	begin(&line, &watch, "exported");
	result = snapshot_export(lab, name, fd, &watch, &error);
	return end(&line, &watch, result, file, &error);
}

static int export_to_output(const struct cli *cli, const char *lab, const char *name)
{
	if (isatty(STDOUT_FILENO))
		return cli_usage(cli, "a terminal cannot take a snapshot; redirect standard output, or name a file");
	if (cli->json)
		return cli_usage(cli, "standard output is the snapshot's; --format json needs a file");
	return write_archive(lab, name, STDOUT_FILENO, "standard output");
}

static void put_exported(const struct cli *cli, const char *lab, const char *name, const char *file)
{
	struct stat status = {.st_size = 0};
	char size[32];
	json_t *answer;

	stat(file, &status);
	if (!cli->json) {
		printf("Snapshot %s of lab %s is in ", name, lab);
		cli_put_text(stdout, file);
		printf(", %s; \"netlab snapshot import\" takes it in.\n", cli_size(status.st_size, size));
		return;
	}
	answer = json_pack("{s:s, s:s, s:I}", "lab", lab, "name", name, "size", (json_int_t)status.st_size);
	cli_put_json(answer);
	json_decref(answer);
}

static int export_to_file(const struct cli *cli, const char *lab, const char *name, const char *file, bool replace)
{
	struct target target = {.file = file};
	int code = open_target(&target, replace);

	if (code)
		return code;
	code = close_target(&target, write_archive(lab, name, target.fd, file));
	if (code == 0)
		put_exported(cli, lab, name, file);
	return code;
}

int snapshot_archive_export(const struct cli *cli, const char *name, const char *file, bool replace)
{
	struct error error = {.class = ERROR_NONE};
	char *lab = cli->lab ? allocate_copy(cli->lab) : snapshot_find_lab(name, &error);
	int folder = lab ? snapshot_open(lab, name, &error) : -1;
	int code;

	if (folder < 0)
		code = cli_fail(&error);
	else if (!strcmp(file, "-"))
		code = export_to_output(cli, lab, name);
	else
		code = export_to_file(cli, lab, name, file, replace);
	if (folder >= 0)
		close(folder);
	free(lab);
	return code;
}

/* Importing. */

static void put_imported(const struct cli *cli, const struct snapshot_imported *imported)
{
	json_t *answer;

	if (!cli->json) {
		printf("Snapshot %s of lab %s is there. To go on from it: netlab up --from %s --lab %s\n",
		       imported->name, imported->lab, imported->name, imported->lab);
		return;
	}
	answer = json_pack("{s:s, s:s, s:I}", "lab", imported->lab, "name", imported->name, "size",
			   (json_int_t)imported->size);
	cli_put_json(answer);
	json_decref(answer);
}

int snapshot_archive_import(const struct cli *cli, const char *file, const char *name, bool replace)
{
	const struct snapshot_import import = {.lab = cli->lab, .name = name, .replace = replace};
	bool is_input = !strcmp(file, "-");
	int fd = is_input ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	struct error error = {.class = ERROR_NONE};
	struct snapshot_imported imported;
	struct progress_line line;
	struct snapshot_watch watch;
	int code;

	if (fd < 0) {
		cli_error("%s: %s", file, strerror(errno));
		return ERROR_FAILED;
	}
	if (is_input && isatty(STDIN_FILENO))
		return cli_usage(cli, "a terminal has no snapshot; redirect standard input, or name a file");
	begin(&line, &watch, "imported");
	code = end(&line, &watch, snapshot_import(fd, &import, &watch, &imported, &error),
		   is_input ? "standard input" : file, &error);
	if (code == 0)
		put_imported(cli, &imported);
	if (!is_input)
		close(fd);
	return code;
}
