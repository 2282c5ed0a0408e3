/* SPDX-License-Identifier: Apache-2.0 */
/* The store of snapshots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "netlab/snapshot.h"
#include "snapshot_folder.h"

#define ABOUT "{\"saved\": 100, \"nodes\": 2, \"topology\": \"/home/me/lan/topology.yaml\"}"

static bool exists(const char *root, const char *below)
{
	char *path = allocate_text("%s/netlab-kvm/snapshots/%s", root, below);
	struct stat status;
	bool is_there = lstat(path, &status) == 0;

	free(path);
	return is_there;
}

static void names_are_checked(void **state)
{
	char long_name[SNAPSHOT_NAME_MAX + 2];

	(void)state;
	assert_true(snapshot_name_is_valid("before-ospf_2.1"));
	assert_false(snapshot_name_is_valid(""));
	assert_false(snapshot_name_is_valid("."));
	assert_false(snapshot_name_is_valid(".new-one"));
	assert_false(snapshot_name_is_valid("a/b"));
	assert_false(snapshot_name_is_valid("a b"));
	assert_false(snapshot_name_is_valid("a\n"));
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[SNAPSHOT_NAME_MAX + 1] = '\0';
	assert_false(snapshot_name_is_valid(long_name));
	long_name[SNAPSHOT_NAME_MAX] = '\0';
	assert_true(snapshot_name_is_valid(long_name));
}

static void paths_are_below_the_data_folder(void **state)
{
	char *path = snapshot_path("lan", "one"), *expected;

	expected = allocate_text("%s/netlab-kvm/snapshots/lan/one", (const char *)*state);
	assert_string_equal(path, expected);
	free(path);
	free(expected);
	setenv("XDG_DATA_HOME", "relative", 1);
	setenv("HOME", "/home/me", 1);
	path = snapshot_path("lan", "one");
	assert_string_equal(path, "/home/me/.local/share/netlab-kvm/snapshots/lan/one");
	free(path);
}

static void exists_when_committed(void **state)
{
	struct error error;
	int folder = snapshot_create("lan", "one", &error);
	char *origin;

	(void)state;
	assert_true(folder >= 0);
	assert_false(snapshot_exists("lan", "one"));
	assert_int_equal(snapshot_open("lan", "one", &error), -ENOENT);
	snapshot_folder_write(folder, "about", ABOUT, strlen(ABOUT));
	snapshot_folder_write(folder, "state", "x", 1);
	assert_int_equal(snapshot_commit("lan", "one", &error), 0);
	close(folder);
	assert_true(snapshot_exists("lan", "one"));
	assert_true(snapshot_folder_has("lan", "one", "state", "x", 1));
	origin = snapshot_origin("lan", "one");
	assert_string_equal(origin, "/home/me/lan/topology.yaml");
	free(origin);
}

static void bad_names_open_nothing(void **state)
{
	static const char *const names[] = {"", ".", "..", "../lan", "a/b", ".new-one"};
	struct error error;

	(void)state;
	snapshot_folder_make("lan", "one", ABOUT, "x");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(snapshot_open("lan", names[i], &error), -EINVAL);
		assert_int_equal(snapshot_delete("lan", names[i], &error), -EINVAL);
		assert_true(snapshot_open(names[i], "one", &error) < 0);
		assert_true(snapshot_create(names[i], "two", &error) < 0);
	}
}

static void missing_one_names_those_there_are(void **state)
{
	struct error error;

	(void)state;
	snapshot_folder_make("lan", "one", ABOUT, "x");
	assert_int_equal(snapshot_open("lan", "two", &error), -ENOENT);
	assert_string_equal(error.text, "lab lan has no snapshot \"two\"; it has one");
	assert_int_equal(snapshot_open("office", "two", &error), -ENOENT);
	assert_string_equal(error.text, "lab office has no snapshot \"two\"");
}

static void one_takes_the_place_of_another(void **state)
{
	snapshot_folder_make("lan", "one", ABOUT, "first");
	snapshot_folder_make("lan", "one", ABOUT, "second");
	assert_true(snapshot_folder_has("lan", "one", "state", "second", 6));
	assert_false(exists(*state, "lan/.new-one"));
}

static void abandoned_one_leaves_nothing(void **state)
{
	struct error error;
	int folder = snapshot_create("lan", "one", &error);

	assert_true(folder >= 0);
	snapshot_folder_write(folder, "memory-0", "x", 1);
	snapshot_abandon("lan", "one");
	close(folder);
	assert_false(exists(*state, "lan"));
}

static void abandoned_one_leaves_the_one_it_was_to_replace(void **state)
{
	struct error error;
	int folder;

	snapshot_folder_make("lan", "one", ABOUT, "first");
	folder = snapshot_create("lan", "one", &error);
	assert_true(folder >= 0);
	snapshot_abandon("lan", "one");
	close(folder);
	assert_true(snapshot_folder_has("lan", "one", "state", "first", 5));
	assert_false(exists(*state, "lan/.new-one"));
}

static void one_that_is_being_made_is_left_alone(void **state)
{
	struct error error;
	int folder = snapshot_create("lan", "one", &error);

	assert_true(folder >= 0);
	assert_int_equal(snapshot_create("lan", "one", &error), -EBUSY);
	assert_string_equal(error.text, "snapshot one of lab lan is being made");
	json_decref(snapshot_list(NULL));
	assert_true(exists(*state, "lan/.new-one"));
	close(folder);
}

/* Makes one in a process that dies of it. */
static void die_while_making(const char *name)
{
	pid_t child = fork();

	if (child == 0) {
		struct error error;
		int folder = snapshot_create("lan", name, &error);

		_exit(folder >= 0 && mkdirat(folder, "nothing", 0700) == 0 &&
				      unlinkat(folder, "nothing", AT_REMOVEDIR) == 0 ?
			      0 :
			      1);
	}
	assert_true(child > 0);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void what_a_dead_maker_left_is_removed(void **state)
{
	struct error error;
	int folder;

	die_while_making("one");
	assert_true(exists(*state, "lan/.new-one"));
	json_decref(snapshot_list(NULL));
	assert_false(exists(*state, "lan/.new-one"));
	die_while_making("one");
	folder = snapshot_create("lan", "one", &error);
	assert_true(folder >= 0);
	close(folder);
}

static void deleted_one_is_gone(void **state)
{
	struct error error;

	snapshot_folder_make("lan", "one", ABOUT, "x");
	snapshot_folder_make("lan", "two", ABOUT, "x");
	assert_int_equal(snapshot_delete("lan", "one", &error), 0);
	assert_false(snapshot_exists("lan", "one"));
	assert_true(snapshot_exists("lan", "two"));
	assert_int_equal(snapshot_delete("lan", "one", &error), -ENOENT);
	assert_int_equal(snapshot_delete("lan", "two", &error), 0);
	assert_false(exists(*state, "lan"));
}

static void newest_comes_first_in_the_list(void **state)
{
	static const char *const expected[] = {"three", "two", "one", "none"};
	json_t *list;

	(void)state;
	snapshot_folder_make("lan", "one", "{\"saved\": 100}", "x");
	snapshot_folder_make("office", "three", "{\"saved\": 300}", "x");
	snapshot_folder_make("lan", "two", "{\"saved\": 200}", "x");
	snapshot_folder_make("lan", "none", "no JSON", "x");
	list = snapshot_list(NULL);
	assert_int_equal(json_array_size(list), 4);
	for (size_t i = 0; i < 4; i++) {
		const json_t *one = json_array_get(list, i);

		assert_string_equal(json_string_value(json_object_get(one, "name")), expected[i]);
		assert_string_equal(json_string_value(json_object_get(one, "lab")), i == 0 ? "office" : "lan");
		assert_true(json_integer_value(json_object_get(one, "size")) >= 2);
	}
	json_decref(list);
	list = snapshot_list("lan");
	assert_int_equal(json_array_size(list), 3);
	json_decref(list);
	list = snapshot_list("no-such");
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

static void lab_is_found_by_a_snapshot(void **state)
{
	struct error error;
	char *lab;

	(void)state;
	snapshot_folder_make("lan", "one", ABOUT, "x");
	snapshot_folder_make("lan", "two", ABOUT, "x");
	snapshot_folder_make("office", "two", ABOUT, "x");
	lab = snapshot_find_lab("one", &error);
	assert_string_equal(lab, "lan");
	free(lab);
	assert_null(snapshot_find_lab("three", &error));
	assert_int_equal(error.class, ERROR_FAILED);
	assert_null(snapshot_find_lab("two", &error));
	assert_string_equal(error.text, "2 labs have a snapshot \"two\"; say which with --lab");
}

/* What somebody put beside them. */
static void links_are_not_followed(void **state)
{
	char *outside = allocate_text("%s/outside", (const char *)*state);
	char *link = allocate_text("%s/netlab-kvm/snapshots/lan/link", (const char *)*state);
	char *file = allocate_text("%s/outside/state", (const char *)*state);
	struct error error;
	json_t *list;

	snapshot_folder_make("lan", "one", ABOUT, "x");
	assert_int_equal(mkdir(outside, 0700), 0);
	snapshot_folder_write(AT_FDCWD, file, "x", 1);
	assert_int_equal(symlink(outside, link), 0);
	assert_true(snapshot_open("lan", "link", &error) < 0);
	assert_true(snapshot_delete("lan", "link", &error) < 0);
	list = snapshot_list("lan");
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	assert_int_equal(access(file, F_OK), 0);
	free(outside);
	free(link);
	free(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, snapshot_folder_set_up, snapshot_folder_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_are_checked),
		TEST(paths_are_below_the_data_folder),
		TEST(exists_when_committed),
		TEST(bad_names_open_nothing),
		TEST(missing_one_names_those_there_are),
		TEST(one_takes_the_place_of_another),
		TEST(abandoned_one_leaves_nothing),
		TEST(abandoned_one_leaves_the_one_it_was_to_replace),
		TEST(one_that_is_being_made_is_left_alone),
		TEST(what_a_dead_maker_left_is_removed),
		TEST(deleted_one_is_gone),
		TEST(newest_comes_first_in_the_list),
		TEST(lab_is_found_by_a_snapshot),
		TEST(links_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
