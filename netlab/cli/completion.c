/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/impairment.h"
#include "netlab/snapshot.h"

/* netlab completion, and netlab complete, which the script it prints asks for names. */

static const char bash_script[] =
	"# Completion of netlab for bash.\n"
	"_netlab() {\n"
	"	local word=${COMP_WORDS[COMP_CWORD]} command='' lab='' i words=()\n"
	"	for ((i = 1; i < COMP_CWORD; i++)); do\n"
	"		case ${COMP_WORDS[i]} in\n"
	"		--lab) lab=${COMP_WORDS[++i]} ;;\n"
	"		--format | --name | --captures | --from | --timeout | -e | --env | --tail | --memory | --cpus) ((i++)) ;;\n"
	"		-w | --write | -f | --filter | -s | --snaplen | -c | -d | --duration)\n"
	"			[[ $command != capture && $command != wireshark ]] || ((i++)) ;;\n"
	"		-r | --read | --since) [[ $command != trace && $command != drops ]] || ((i++)) ;;\n"
	"		--last | --trigger | --before | --after | --rotate-* | --folder | --count) ((i++)) ;;\n"
	"		-n) [[ $command != logs && $command != trace && $command != top && $command != link ]] || ((i++)) ;;\n"
	"		-i) [ \"$command\" != top ] || ((i++)) ;;\n"
	"		--interval | --iterations | --down | --up) ((i++)) ;;\n"
	"		-*) ;;\n"
	"		*) command=${command:-${COMP_WORDS[i]}}; words+=(\"${COMP_WORDS[i]}\") ;;\n"
	"		esac\n"
	"		# What follows the node is the guest's command line.\n"
	"		[ \"$command\" != exec ] || [ ${#words[@]} -lt 2 ] || return 0\n"
	"	done\n"
	"	complete_from() { mapfile -t COMPREPLY < <(compgen -W \"$*\" -- \"$word\"); }\n"
	"	names() { \"${COMP_WORDS[0]}\" ${lab:+--lab \"$lab\"} complete \"$1\" 2>/dev/null; }\n"
	"	# A colon is a word of its own to bash, which completes what follows it.\n"
	"	ports() {\n"
	"		local port=$word\n"
	"		if [ \"$word\" = : ]; then port=${COMP_WORDS[COMP_CWORD - 1]}:\n"
	"		elif [ \"${COMP_WORDS[COMP_CWORD - 1]}\" = : ]; then port=${COMP_WORDS[COMP_CWORD - 2]}:$word\n"
	"		fi\n"
	"		mapfile -t COMPREPLY < <(compgen -W \"$(names ports)\" -- \"$port\")\n"
	"		[[ $port != *:* ]] || COMPREPLY=(\"${COMPREPLY[@]#*:}\")\n"
	"	}\n"
	"	formats() { case $command in validate) echo junit ;; stats) echo prometheus ;; esac; }\n"
	"	COMPREPLY=()\n"
	"	case ${COMP_WORDS[COMP_CWORD - 1]} in\n"
	"	--lab) complete_from \"$(names labs)\"; return ;;\n"
	"	--format) complete_from text json \"$(formats)\"; return ;;\n"
	"	--from) complete_from \"$(names snapshots)\"; return ;;\n"
	"	--captures | --folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$word\"); return ;;\n"
	"	-w | --write | --read) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n"
	"	esac\n"
	"	case $command:$word in\n"
	"	:-*) complete_from --lab --format --help --version ;;\n"
	"	snapshot:-*) complete_from --replace --lab --format --help ;;\n"
	"	up:-*) complete_from --name --captures --no-capture --cold --from --overcommit --timeout --yes --plan --format --help ;;\n"
	"	down:-*) complete_from --all --lab --format --help ;;\n"
	"	exec:-*) complete_from --tty --no-stdin --interactive --env --lab --help ;;\n"
	"	restart:-*) complete_from --timeout --lab --format --help ;;\n"
	"	image:-*) complete_from --memory --cpus --format --help ;;\n"
	"	validate:-*) complete_from --list --fail-fast --lab --format --help ;;\n"
	"	capture:-*) complete_from --all --write --filter --snaplen --clean --events --last --trigger --before --after \\\n"
	"		--count --duration --rotate-size --rotate-time --rotate-files --lab --format --help ;;\n"
	"	wireshark:-*) complete_from --all --filter --snaplen --clean --events --last --trigger --before --after \\\n"
	"		--install --uninstall --folder --lab --format --help ;;\n"
	"	trace:-*) complete_from --flow --count --last --read --lab --format --help ;;\n"
	"	drops:-*) complete_from --since --read --lab --format --help ;;\n"
	"	top:-*) complete_from --interval --iterations --lab --format --help ;;\n"
	"	link:-*) complete_from --tx --rx --count --down --up --lab --format --help ;;\n"
	"	tc:-*) complete_from --tx --rx --lab --format --help ;;\n"
	"	logs:-*) complete_from --follow --tail --lab --help ;;\n"
	"	cp:-*) complete_from --recursive --lab --help ;;\n"
	"	*:-*) complete_from --lab --format --help ;;\n"
	"	:*) complete_from \"$(names commands)\" ;;\n"
	"	help:*) complete_from \"$(names commands)\" ;;\n"
	"	down:* | status:* | stats:*) complete_from \"$(names labs)\" ;;\n"
	"	validate:*) complete_from \"$(names tests)\" ;;\n"
	"	exec:* | connect:* | logs:* | restart:* | pause:* | resume:*)\n"
	"		[ ${#words[@]} -gt 1 ] || complete_from \"$(names nodes)\" ;;\n"
	"	capture:* | wireshark:* | drops:*) ports ;;\n"
	"	link:*)\n"
	"		if [ ${#words[@]} -eq 1 ] || [ \"$word\" = : ] || [ \"${COMP_WORDS[COMP_CWORD - 1]}\" = : ]; then ports\n"
	"		elif [[ ${words[-1]} != up && ${words[-1]} != down && ${words[-1]} != flap ]]; then complete_from up down flap\n"
	"		fi ;;\n"
	"	tc:*)\n"
	"		if [ ${#words[@]} -eq 1 ]; then complete_from show set clear reset\n"
	"		elif [ ${#words[@]} -eq 2 ] || [ \"$word\" = : ] || [ \"${COMP_WORDS[COMP_CWORD - 1]}\" = : ]; then ports\n"
	"		elif [ \"${words[1]}\" = set ]; then compopt -o nospace; complete_from \"$(names impairments)\"\n"
	"		fi ;;\n"
	"	trace:*) [ ${#words[@]} -gt 2 ] || complete_from \"$(names nodes)\" ;;\n"
	"	top:*)\n"
	"		ports\n"
	"		[ ${#words[@]} -gt 1 ] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"$(names labs)\" -- \"$word\") ;;\n"
	"	image:*)\n"
	"		[ ${#words[@]} -gt 1 ] || complete_from list build warm prune\n"
	"		[[ \"${words[1]-}\" != build && \"${words[1]-}\" != warm ]] || [ ${#words[@]} -gt 2 ] || complete_from \"$(names recipes)\" ;;\n"
	"	switch:*)\n"
	"		case ${#words[@]} in\n"
	"		1) complete_from \"$(names networks)\" show flush ;;\n"
	"		2) [[ ${words[1]} = show || ${words[1]} = flush ]] || complete_from show flush ;;\n"
	"		esac ;;\n"
	"	forward:*) [ ${#words[@]} -gt 1 ] || complete_from add remove list ;;\n"
	"	snapshot:*)\n"
	"		case ${#words[@]}:${words[1]-} in\n"
	"		1:*) complete_from save restore list delete export import ;;\n"
	"		2:save | 2:restore | 2:delete | 2:export) complete_from \"$(names snapshots)\" ;;\n"
	"		3:export | 2:import) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
	"		esac ;;\n"
	"	completion:*) complete_from bash ;;\n"
	"	cp:*)\n"
	"		compopt -o filenames -o nospace\n"
	"		mapfile -t COMPREPLY < <(compgen -f -- \"$word\"; compgen -S : -W \"$(names nodes)\" -- \"$word\") ;;\n"
	"	up:* | check:*)\n"
	"		compopt -o filenames\n"
	"		mapfile -t COMPREPLY < <(compgen -d -- \"$word\"; compgen -f -X '!*.y?(a)ml' -- \"$word\") ;;\n"
	"	esac\n"
	"}\n"
	"complete -F _netlab netlab\n";

int cli_completion(struct cli *cli, int argc, char **argv)
{
	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind != 1 || strcmp(argv[optind], "bash"))
		return cli_usage(cli, "\"bash\" is the only shell there is completion for");
	fputs(bash_script, stdout);
	return 0;
}

static void put_commands(void)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (command->summary)
			puts(command->name);
}

static void put_labs(void)
{
	struct error error = {0};
	size_t count;
	char **labs;

	if (cli_running_labs(&labs, &count, false, &error) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		puts(labs[i]);
	cli_free_labs(labs, count);
}

/* Names of what the status has under 'what': "nodes", "networks" or "ports". */
static void put_names(const struct cli *cli, const char *what)
{
	struct error error = {0};
	char *lab = cli_find_lab(cli, NULL, &error);
	json_t *status = lab ? client_call_once(lab, json_pack("{s:s}", "command", "status"), &error) : NULL;

	for (size_t i = 0; i < json_array_size(json_object_get(status, what)); i++)
		puts(cli_string(json_array_get(json_object_get(status, what), i), "name"));
	json_decref(status);
	free(lab);
}

/* What stands for one: a node does for all of its ports. */
static void put_ports(const struct cli *cli)
{
	put_names(cli, "nodes");
	put_names(cli, "ports");
}

static void put_tests(const struct cli *cli)
{
	struct error error = {0};
	char *lab = cli_find_lab(cli, NULL, &error);
	json_t *answer = lab ? client_call_once(lab, json_pack("{s:s}", "command", "tests"), &error) : NULL;
	const json_t *tests = json_object_get(answer, "tests");

	for (size_t i = 0; i < json_array_size(tests); i++)
		puts(cli_string(json_array_get(tests, i), "name"));
	json_decref(answer);
	free(lab);
}

/* Of the lab that is named, else of all; a name that several have comes once. */
static void put_snapshots(const struct cli *cli)
{
	json_t *snapshots = snapshot_list(cli->lab), *seen = json_object();

	for (size_t i = 0; i < json_array_size(snapshots); i++) {
		const char *name = cli_string(json_array_get(snapshots, i), "name");

		if (!json_object_get(seen, name))
			puts(name);
		json_object_set_new(seen, name, json_true());
	}
	json_decref(seen);
	json_decref(snapshots);
}

/* As "netlab tc set" takes them. */
static void put_impairments(void)
{
	puts("preset=");
	for (size_t i = 0; i < IMPAIRMENT_FIELD_COUNT; i++)
		printf("%s=\n", impairment_fields[i].name);
}

/* What cannot be found out is left out: nobody wants messages while completing a word. */
int cli_complete(struct cli *cli, int argc, char **argv)
{
	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (argc - optind != 1)
		return cli_usage(cli, "one kind of names is needed");
	if (!strcmp(argv[optind], "ports"))
		put_ports(cli);
	else if (!strcmp(argv[optind], "commands"))
		put_commands();
	else if (!strcmp(argv[optind], "impairments"))
		put_impairments();
	else if (!strcmp(argv[optind], "labs"))
		put_labs();
	else if (!strcmp(argv[optind], "nodes") || !strcmp(argv[optind], "networks"))
		put_names(cli, argv[optind]);
	else if (!strcmp(argv[optind], "recipes"))
		cli_recipe_names();
	else if (!strcmp(argv[optind], "snapshots"))
		put_snapshots(cli);
	else if (!strcmp(argv[optind], "tests"))
		put_tests(cli);
	else
		return cli_usage(cli, "there are no names of \"%s\"", argv[optind]);
	return 0;
}
