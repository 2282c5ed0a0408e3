/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "netlab/bridge/request.h"
#include "netlab/bridge/rules.h"
#include "netlab/bridge/work.h"
#include "netlab/version.h"

/* netlab-bridge-helper: the only program of netlab that may change this host's network
 * ====================================================================================
 *
 * netlabd starts it when a lab has something to plug into the host, and speaks to it over a socket (bridge/request.h).
 * It runs as the user who runs the lab, with the capability CAP_NET_ADMIN from its file, or as root.  What an ordinary
 * user may have is for /etc/netlab-kvm/bridge.conf to say (bridge/rules.h).
 *
 * It outlives netlabd by a moment: when the socket closes, because the lab has ended or netlabd was killed, it removes
 * what it made (bridge/work.h).  So signals that would end it do not.  Should it be killed itself, "--clean", which
 * the next "netlab" command calls, removes what it left. */

static const char usage[] =
	"Usage: netlab-bridge-helper LAB       requests on a socket as standard input; netlabd does that\n"
	"       netlab-bridge-helper --clean   remove what helpers that were killed have left of this user's labs\n"
	"Who may have what is in " BRIDGE_RULES_PATH ".\n";

/* Keeps nothing of what the caller has but standard input and error. */
static void shed(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2, SIGALRM};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
	close_range(3, ~0u, 0);
	clearenv();
	umask(077);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setsid();
	if (chdir("/") < 0)
		exit(ERROR_FAILED);
}

static int answer(const struct bridge_reply *reply, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = ""};
	struct iovec part = {.iov_base = (void *)reply, .iov_len = sizeof(*reply)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS,
						  .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(STDIN_FILENO, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int serve(struct bridge_work *work, const struct bridge_request *request)
{
	struct bridge_reply reply = {.result = 0};
	struct error error = {.class = ERROR_NONE};
	int result = bridge_request_check(request, &error);
	bool has_descriptor = false;

	if (result == 0 && getuid() != 0) {
		struct bridge_asker asker;

		result = bridge_asker_get(&asker, &error);
		if (result == 0)
			result = bridge_rules_check(BRIDGE_RULES_PATH, &asker, request, &error);
	}
	if (result == 0) {
		result = bridge_work_do(work, request, &reply, &error);
		has_descriptor = result > 0;
	}
	if (result < 0) {
		reply.result = result;
		reply.class = (uint32_t)error.class;
		memcpy(reply.text, error.text, sizeof(reply.text));
	}
	if (!has_descriptor)
		return answer(&reply, -1);
	reply.result = 0;
	if (answer(&reply, result) < 0)
		reply.result = -EPIPE;
	close(result);
	return reply.result;
}

static int run(const char *lab)
{
	struct error error = {.class = ERROR_NONE};
	struct bridge_request request;
	struct bridge_work work;

	if (bridge_work_open(&work, getuid(), lab, &error) < 0) {
		fprintf(stderr, "netlab-bridge-helper: %s\n", error.text);
		return (int)error.class;
	}
	for (;;) {
		ssize_t size = recv(STDIN_FILENO, &request, sizeof(request), 0);

		if (size < 0 && errno == EINTR)
			continue;
		if (size != (ssize_t)sizeof(request) || serve(&work, &request) < 0)
			break;
	}
	bridge_work_undo(&work);
	bridge_work_close(&work);
	return 0;
}

static int clean(void)
{
	struct error error = {.class = ERROR_NONE};

	if (bridge_work_clean(getuid(), &error) == 0)
		return 0;
	fprintf(stderr, "netlab-bridge-helper: %s\n", error.text);
	return (int)error.class;
}

/* A lab's name without what would be another word, or another line, where it is shown. */
static bool is_lab_name(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= 32 && text[0] != '-' && !strpbrk(text, " \t\r\n/");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("netlab-bridge-helper " NETLAB_VERSION);
		return 0;
	}
	if (argc != 2 || (strcmp(argv[1], "--clean") != 0 && !is_lab_name(argv[1]))) {
		fputs(usage, argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : ERROR_USAGE;
	}
	if (geteuid() != getuid() || getegid() != getgid()) {
		fputs("netlab-bridge-helper: it must not be set-user-ID; one capability is enough: setcap "
		      "cap_net_admin+ep\n",
		      stderr);
		return ERROR_HOST;
	}
	shed();
	return !strcmp(argv[1], "--clean") ? clean() : run(argv[1]);
}
