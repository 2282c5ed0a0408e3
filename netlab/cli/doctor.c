/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/host.h"
#include "core/host_memory.h"
#include "netlab/allocate.h"
#include "netlab/cli/cli.h"
#include "netlab/image.h"
#include "netlab/json_text.h"
#include "netlab/ping_range.h"
#include "netlab/runtime.h"

/* netlab doctor: a list of checks.  Each adds one finding: what was looked for, whether it is good ("ok"),
 * could be better ("warning") or keeps labs from running ("missing"), and what to do about it. */

#define MEMORY_WARNING (512ull << 20) /* Less than this that is available is said. */
#define FILES_WARNING 4096
#define FILES_MISSING 256

static void find(json_t *findings, const char *check, const char *verdict, const char *fix, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void find(json_t *findings, const char *check, const char *verdict, const char *fix, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	json_array_append_new(findings, json_pack("{s:s, s:s, s:o, s:o}", "check", check, "verdict", verdict, "text",
						  json_text(text), "fix", json_text(fix)));
	free(text);
}

static const char *describe_backend(enum host_backend backend)
{
	switch (backend) {
	case HOST_VMX:
		return "Intel VT-x with EPT: guests run at hardware speed";
	case HOST_SVM:
		return "AMD-V with NPT: guests run at hardware speed";
	default:
		return "pagetable-based, without VT-x or AMD-V: guest programs run at hardware speed, guest kernels "
		       "slowly, so booting takes some seconds";
	}
}

static void check_capabilities(json_t *findings, int kvm)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {
		{KVM_CAP_IRQCHIP, "IRQCHIP"},
		{KVM_CAP_USER_MEMORY, "USER_MEMORY"},
		{KVM_CAP_IRQFD, "IRQFD"},
		{KVM_CAP_IOEVENTFD, "IOEVENTFD"},
		{KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING"},
		{KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI"},
		{KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
		{KVM_CAP_EXT_CPUID, "EXT_CPUID"},
	};
	char missing[256] = "";

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		size_t length = strlen(missing);

		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			snprintf(missing + length, sizeof(missing) - length, " KVM_CAP_%s", needed[i].name);
	}
	if (missing[0])
		find(findings, "KVM capabilities", "missing", "Use a newer Linux kernel on this host.",
		     "this KVM does not have%s", missing);
	else
		find(findings, "KVM capabilities", "ok", "", "all that guests need");
}

static void check_kvm(json_t *findings)
{
	struct host_profile profile;
	struct error error = {0};
	int kvm = host_probe(&profile, &error);
	char *fix;

	if (kvm < 0) {
		/* Its first line says what is wrong, the others what helps. */
		fix = strchr(error.text, '\n');
		if (fix)
			*fix++ = '\0';
		if (fix)
			fix += strspn(fix, " ");
		if (fix && !strncmp(fix, "help: ", 6))
			fix += 6;
		find(findings, "/dev/kvm", "missing", fix ? fix : "", "%s", error.text);
		return;
	}
	find(findings, "/dev/kvm", "ok", "", "there, and we may use it");
	find(findings, "KVM backend", "ok", "", "%s, %s", profile.backend_name, describe_backend(profile.backend));
	check_capabilities(findings, kvm);
	close(kvm);
}

/* Asks the image's builder, where it is at hand, whether what the image was built from has changed. */
static bool is_outdated(const char *name)
{
	char *builder = cli_image_builder();
	pid_t pid = builder ? fork() : -1;
	int status = 0;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execl(builder, builder, name, "--check", (char *)NULL);
		_exit(127);
	}
	free(builder);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static void check_image(json_t *findings)
{
	struct error error = {0};
	struct image *image = image_load("lab", &error);

	if (!image) {
		find(findings, "image \"lab\"", "missing", "netlab image build lab", "%.*s",
		     (int)strcspn(error.text, "\n;"), error.text);
		return;
	}
	if (is_outdated("lab"))
		find(findings, "image \"lab\"", "warning", "netlab image build lab",
		     "%s is older than what it is built from", image->folder);
	else
		find(findings, "image \"lab\"", "ok", "", "%s", image->folder);
	image_free(image);
}

static void check_memory(json_t *findings)
{
	struct host_memory memory = {.available = 0};
	char text[32];
	bool is_little;

	host_memory_read("", &memory);
	is_little = memory.available < MEMORY_WARNING;
	find(findings, "memory", is_little ? "warning" : "ok",
	     is_little ? "End programs you do not need, or give nodes less memory." : "",
	     "%s available%s; a node of the image \"lab\" takes up to 64M",
	     cli_size((json_int_t)memory.available, text), memory.is_limited ? " to this control group" : "");
}

static void check_runtime(json_t *findings)
{
	struct error error = {0};
	char *folder = runtime_base(&error);

	if (!folder)
		find(findings, "runtime folder", "missing", "Set XDG_RUNTIME_DIR to a folder that only you can use.",
		     "%s", error.text);
	else if (!strncmp(folder, "/run/user/", 10))
		find(findings, "runtime folder", "ok", "",
		     "%s; labs stop when your last session on this host ends, unless \"loginctl enable-linger\" was used",
		     folder);
	else
		find(findings, "runtime folder", "ok", "", "%s", folder);
	free(folder);
}

static void check_files(json_t *findings)
{
	struct rlimit files = {0};
	const char *verdict = "ok";

	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < FILES_MISSING)
		verdict = "missing";
	else if (files.rlim_max < FILES_WARNING)
		verdict = "warning";
	find(findings, "open files", verdict,
	     verdict[0] == 'o' ? "" : "Raise \"nofile\" in /etc/security/limits.conf and log in again.",
	     "up to %llu for one lab; a node needs some tens", (unsigned long long)files.rlim_max);
}

static void check_ping(json_t *findings)
{
	bool is_allowed = ping_is_allowed();

	find(findings, "ping", is_allowed ? "ok" : "warning",
	     is_allowed ? "" : PING_RANGE_FIX "; to keep it: " PING_RANGE_FIX_FOR_GOOD,
	     is_allowed ? "guests on networks with NAT may ping beyond the gateway" :
			  "guests on networks with NAT cannot ping beyond the gateway: net.ipv4.ping_group_range has "
			  "none of your groups");
}

static bool is_in_path(const char *program)
{
	const char *path = getenv("PATH");
	char *copy = allocate_copy(path ? path : "/usr/local/bin:/usr/bin:/bin");
	char *rest = copy;
	bool found = false;

	for (char *folder; !found && (folder = strsep(&rest, ":"));) {
		char *file = allocate_text("%s/%s", folder, program);

		found = access(file, X_OK) == 0;
		free(file);
	}
	free(copy);
	return found;
}

static void check_tool(json_t *findings, const char *program, const char *use)
{
	char *fix = allocate_text("sudo apt-get install %s", program);

	if (is_in_path(program))
		find(findings, program, "ok", "", "there, %s", use);
	else
		find(findings, program, "warning", fix, "not there; it is optional, %s", use);
	free(fix);
}

static bool has_missing(const json_t *findings)
{
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);

		if (!strcmp(cli_string(finding, "verdict"), "missing"))
			return true;
	}
	return false;
}

static void put_findings(const json_t *findings)
{
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);
		const char *fix = cli_string(finding, "fix");

		printf("%-8s %-17s ", cli_string(finding, "verdict"), cli_string(finding, "check"));
		cli_put_text(stdout, cli_string(finding, "text"));
		putchar('\n');
		if (fix[0])
			printf("%26s -> %s\n", "", fix);
	}
	puts(has_missing(findings) ? "\nLabs cannot run here until what is missing is there." : "\nLabs can run here.");
}

int cli_doctor(struct cli *cli, int argc, char **argv)
{
	json_t *findings, *answer;
	int code;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (optind < argc)
		return cli_usage(cli, "too many arguments");
	findings = json_array();
	check_kvm(findings);
	check_image(findings);
	check_memory(findings);
	check_runtime(findings);
	check_files(findings);
	check_ping(findings);
	check_tool(findings, "tshark", "for reading captures in a terminal");
	check_tool(findings, "wireshark", "for reading captures in a window");
	code = has_missing(findings) ? ERROR_HOST : 0;
	if (cli->json) {
		answer = json_pack("{s:b, s:O}", "ok", !code, "findings", findings);
		cli_put_json(answer);
		json_decref(answer);
	} else {
		put_findings(findings);
	}
	json_decref(findings);
	return code;
}
