/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory there is for guests: files as the kernel has them, in a folder of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/host_memory.h"

#define MIB (1024ull << 10)

static int set_up(void **state)
{
	char *root = strdup("/tmp/test-host-memory-XXXXXX");

	*state = mkdtemp(root);
	return *state ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int tear_down(void **state)
{
	int result = nftw(*state, remove_entry, 16, FTW_DEPTH | FTW_PHYS);

	free(*state);
	return result;
}

/* Writes a file below 'root', and makes the folders it is in. */
static void put(const char *root, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
		*at = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void expect_available(const char *root, uint64_t bytes, bool is_limited)
{
	struct host_memory memory;

	assert_int_equal(host_memory_read(root, &memory), 0);
	assert_int_equal(memory.available, bytes);
	assert_int_equal(memory.is_limited, is_limited);
}

static void no_groups(void **state)
{
	struct host_memory memory;

	assert_int_equal(host_memory_read(*state, &memory), -ENODATA);
	put(*state, "/proc/meminfo", "MemTotal:  4096 kB\n");
	assert_int_equal(host_memory_read(*state, &memory), -ENODATA);
	put(*state, "/proc/meminfo", "MemTotal:        2048000 kB\nMemFree:  100 kB\nMemAvailable:    1024000 kB\n");
	expect_available(*state, 1000 * MIB, false);
	put(*state, "/proc/self/cgroup", "");
	expect_available(*state, 1000 * MIB, false);
	put(*state, "/proc/self/cgroup", "0::/\n");
	expect_available(*state, 1000 * MIB, false);
	put(*state, "/proc/self/cgroup", "nonsense\n\n:\n::\n5:memory\n");
	expect_available(*state, 1000 * MIB, false);
}

static void version_2(void **state)
{
	put(*state, "/proc/meminfo", "MemAvailable:    1024000 kB\n");
	put(*state, "/proc/self/cgroup", "0::/user.slice/user-1000.slice/lab.scope\n");
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/lab.scope/memory.max", "max\n");
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/lab.scope/memory.current", "1048576\n");
	expect_available(*state, 1000 * MIB, false);

	/* 300 MiB, of which 200 are in use, and half of that is files that can be dropped. */
	put(*state, "/sys/fs/cgroup/user.slice/memory.max", "314572800\n");
	put(*state, "/sys/fs/cgroup/user.slice/memory.current", "209715200\n");
	expect_available(*state, 100 * MIB, true);
	put(*state, "/sys/fs/cgroup/user.slice/memory.stat",
	    "anon 104857600\nfile 104857600\ninactive_file_of_others 7\ninactive_file 94371840\nactive_file 10485760\n");
	expect_available(*state, 200 * MIB, true);

	/* The least counts, wherever it is. */
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/lab.scope/memory.max", "20971520\n");
	expect_available(*state, 19 * MIB, true);
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/memory.max", "10485760\n");
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/memory.current", "10485760\n");
	expect_available(*state, 0, true);
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/memory.current", "20971520\n");
	expect_available(*state, 0, true);
	put(*state, "/sys/fs/cgroup/user.slice/user-1000.slice/memory.current", "");
	expect_available(*state, 19 * MIB, true);
}

/* The container's own group is mounted as the root, and may be named as in the host. */
static void container(void **state)
{
	put(*state, "/proc/meminfo", "MemAvailable:    1024000 kB\n");
	put(*state, "/sys/fs/cgroup/memory.max", "524288000\n");
	put(*state, "/sys/fs/cgroup/memory.current", "104857600\n");
	put(*state, "/proc/self/cgroup", "0::/\n");
	expect_available(*state, 400 * MIB, true);
	put(*state, "/proc/self/cgroup", "0::/docker/0123456789\n");
	expect_available(*state, 400 * MIB, true);
}

static void version_1(void **state)
{
	put(*state, "/proc/meminfo", "MemAvailable:    1024000 kB\n");
	put(*state, "/proc/self/cgroup", "5:cpu,cpuacct:/other\n4:hugetlb,memory:/lab\n1:name=systemd:/lab\n0::/lab\n");
	put(*state, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put(*state, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
	expect_available(*state, 1000 * MIB, false);
	put(*state, "/sys/fs/cgroup/memory/other/memory.limit_in_bytes", "4096\n");
	put(*state, "/sys/fs/cgroup/memory/other/memory.usage_in_bytes", "4096\n");
	expect_available(*state, 1000 * MIB, false);
	put(*state, "/sys/fs/cgroup/memory/lab/memory.limit_in_bytes", "104857600\n");
	put(*state, "/sys/fs/cgroup/memory/lab/memory.usage_in_bytes", "52428800\n");
	put(*state, "/sys/fs/cgroup/memory/lab/memory.stat",
	    "inactive_file 1\nactive_file 1\ntotal_inactive_file 10485760\ntotal_active_file 31457280\n");
	expect_available(*state, 90 * MIB, true);
}

static void processes(void **state)
{
	char *page = malloc(4 * MIB);

	put(*state, "/proc/17/status",
	    "Name:\tnetlabd\nVmRSS:\t   99999 kB\nRssAnon:\t    1024 kB\nRssFile:\t   70000 kB\n"
	    "RssShmem:\t    2048 kB\nVmSwap:\t      1024 kB\n");
	assert_int_equal(host_memory_of_process(*state, 17), 4 * MIB);
	assert_int_equal(host_memory_of_process(*state, 18), 0);
	assert_non_null(page);
	memset(page, 1, 4 * MIB);
	assert_true(host_memory_of_process("", getpid()) >= 4 * MIB);
	free(page);
}

/* Whatever this machine has. */
static void this_machine(void **state)
{
	struct host_memory memory;

	(void)state;
	assert_int_equal(host_memory_read("", &memory), 0);
	assert_true(memory.available > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_groups, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_2, set_up, tear_down),
		cmocka_unit_test_setup_teardown(container, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_1, set_up, tear_down),
		cmocka_unit_test_setup_teardown(processes, set_up, tear_down),
		cmocka_unit_test(this_machine),
	};

	return cmocka_run_group_tests_name("host_memory", tests, NULL, NULL);
}
