/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/base64.h"
#include "netlab/cli/cli.h"
#include "netlab/cli/validate.h"

#define SIGNAL_KILL 9

static void send_to(struct client *client, json_int_t id, const char *command, json_t *members)
{
	json_t *message = members ? members : json_object();

	json_object_set_new(message, "id", json_integer(id));
	json_object_set_new(message, "command", json_string(command));
	client_send(client, message);
}

static void add_output(struct validate_output *output, const json_t *data)
{
	size_t length = json_string_length(data);
	uint8_t *bytes = length ? allocate_zeroed(length, 1) : NULL;
	ssize_t decoded = length ? base64_decode(json_string_value(data), length, bytes) : 0;
	size_t size = decoded > 0 ? (size_t)decoded : 0;

	if (size > VALIDATE_OUTPUT_MAX - output->size) {
		size = VALIDATE_OUTPUT_MAX - output->size;
		output->is_cut = true;
	}
	if (!output->text)
		output->text = allocate_zeroed(VALIDATE_OUTPUT_MAX + 1, 1);
	for (size_t i = 0; i < size; i++)
		output->text[output->size++] = bytes[i] ? (char)bytes[i] : '?';
	free(bytes);
}

static void take_result(struct validate_command *command, const json_t *result)
{
	json_int_t signal_number = json_integer_value(json_object_get(result, "signal"));

	if (json_object_get(result, "cancelled"))
		return; /* It took too long, which has been noted. */
	command->status = (int)(signal_number ? 128 + signal_number :
						json_integer_value(json_object_get(result, "status")));
}

/* Returns false when the command has ended. */
static bool take_message(struct validate_command *command, const struct client *client, const json_t *message)
{
	const json_t *result = json_object_get(message, "result");
	struct error error = {.class = ERROR_NONE};

	if (!strcmp(cli_string(message, "event"), "output")) {
		bool is_error = !strcmp(cli_string(message, "stream"), "stderr");

		add_output(is_error ? &command->error_output : &command->output, json_object_get(message, "data"));
		return true;
	}
	if (json_object_get(message, "event"))
		return true;
	if (result) {
		take_result(command, result);
	} else if (!command->problem) {
		client_set_error(client, message, &error);
		command->problem = allocate_copy(error.text);
	}
	return false;
}

/* Ends a command that takes too long, and all that it started. */
static void stop(struct validate_command *command, struct client *client, json_int_t id, double seconds)
{
	char limit[32];

	command->problem = allocate_text("it did not end within %s", cli_duration(seconds, limit));
	send_to(client, id, "signal", json_pack("{s:i}", "signal", SIGNAL_KILL));
	send_to(client, id, "cancel", NULL);
}

void validate_command_run(struct validate_command *command, struct client *client, struct validate_report *report,
			  const char *node, const char *line, double seconds)
{
	long long deadline = cli_milliseconds() + (long long)(seconds * 1000);
	json_int_t id = client_new_id(client);
	bool goes_on = true;

	*command = (struct validate_command){.status = -1};
	send_to(client, id, "exec", json_pack("{s:s, s:[s, s, s]}", "node", node, "argv", "sh", "-c", line));
	send_to(client, id, "end-input", NULL);
	while (goes_on && !client->ended) {
		json_t *message = client_wait(client, VALIDATE_TICK);

		if (message && json_integer_value(json_object_get(message, "id")) == id)
			goes_on = take_message(command, client, message);
		json_decref(message);
		if (goes_on && !command->problem && cli_milliseconds() >= deadline)
			stop(command, client, id, seconds);
		validate_report_tick(report);
	}
	if (goes_on) {
		struct error error = {.class = ERROR_NONE};

		client_set_error(client, NULL, &error);
		free(command->problem);
		command->problem = allocate_copy(error.text);
		command->ends_runs = true;
	}
}

void validate_command_clear(struct validate_command *command)
{
	free(command->output.text);
	free(command->error_output.text);
	free(command->problem);
}
