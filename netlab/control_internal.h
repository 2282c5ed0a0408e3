/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CONTROL_INTERNAL_H
#define NETLAB_CONTROL_INTERNAL_H 1

/* What the files of the control server share: control.c (connections and lines), control_command.c (the table
 * of commands), control_channel.c (streams that are channels of a guest's agent), control_watch.c (streams
 * that watch: events, console, logs), control_lab.c (what the whole lab does),
 * control_link.c (links), control_capture.c (connections that become captures) and control_converge.c (changing it).
 *
 * Sending never fails to the sender and never frees a client or a stream: a client that cannot be served is
 * marked dead and freed in the loop's next turn.
 *
 * Thread-safety: all of it belongs to the control loop. */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/loop.h"
#include "netlab/control.h"
#include "netlab/lab.h"

struct control_client;
struct control_stream;

/* What a stream does; each may be NULL.  A request it has no function for is an error that ends the stream. */
struct control_stream_ops {
	/* Input from the client; the caller has checked that it fits the window. */
	void (*input)(struct control_stream *stream, const uint8_t *data, size_t size);
	void (*end_input)(struct control_stream *stream);
	void (*signal)(struct control_stream *stream, int signal_number);
	void (*resize)(struct control_stream *stream, uint16_t rows, uint16_t columns);
	/* The client has read enough for the stream to go on. */
	void (*drained)(struct control_stream *stream);
	/* What the lab's listener hears. */
	void (*changed)(struct control_stream *stream, struct node *node);
	void (*removed)(struct control_stream *stream, struct node *node);
	void (*logged)(struct control_stream *stream, struct node *node);
	void (*console)(struct control_stream *stream, struct node *node, const uint8_t *data, size_t size);
	/* The stream is ending: let go of everything but the stream itself. */
	void (*close)(struct control_stream *stream);
};

/* The first member of each kind of stream. */
struct control_stream {
	const struct control_stream_ops *ops;
	struct control_client *client;
	json_int_t id;
	/* Input that was not taken yet, at most CONTROL_WINDOW bytes. */
	uint8_t *pending;
	size_t pending_size;
	struct control_stream *next;
};

struct control_client {
	struct control *control;
	int fd;
	struct loop_watch watch;
	struct loop_task task; /* Flushes, reads on, or frees. */
	char *input;           /* From the start of a line. */
	size_t input_size, input_capacity, input_scanned;
	bool skipping; /* The rest of a line that was too long. */
	bool input_ended;
	bool wants_stop; /* Asked for the lab to be stopped, with 'stop_id' (-1: none). */
	json_int_t stop_id;
	bool dead;
	char *output; /* output_size bytes from output_start on wait to be sent. */
	size_t output_start, output_size, output_capacity;
	bool was_full; /* Has been above CONTROL_OUTPUT_PAUSE since streams were told of room. */
	struct control_stream *streams;
	unsigned int stream_count;
	struct control_client *next;
};

struct control {
	struct loop *loop;
	struct lab *lab;
	struct control_options options;
	struct loop_watch listener;
	struct loop_timer accept_again;
	struct lab_listener lab_listener;
	struct control_client *clients;
	unsigned int client_count;
	struct control_stream *converging; /* Waits for the lab to be changed, or NULL. */
	bool stopping;
};

/* A request being answered. */
struct control_request {
	struct control_client *client;
	json_int_t id; /* -1: none. */
	const json_t *message;
};

/* control.c */

/* Sends 'message', whose reference it takes; NULL (no memory for it) ends the connection. */
void control_send(struct control_client *client, json_t *message);
void control_send_result(struct control_client *client, json_int_t id, json_t *result);
void control_send_error(struct control_client *client, json_int_t id, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* True while the client has so much to read that what can wait should. */
bool control_is_full(const struct control_client *client);

/* Ends the connection without a word: its socket is somebody else's now. */
void control_leave(struct control_client *client);

/* Adds a stream that was allocated with calloc() and becomes the client's. */
void control_stream_add(struct control_client *client, struct control_stream *stream, json_int_t id,
			const struct control_stream_ops *ops);
struct control_stream *control_stream_find(struct control_client *client, json_int_t id);
/* Sends the event 'name' with the members of 'members' (a reference it takes; may be NULL). */
void control_stream_event(struct control_stream *stream, const char *name, json_t *members);
/* Sends bytes as an event "output". */
void control_stream_output(struct control_stream *stream, bool is_error, const uint8_t *data, size_t size);
/* Adds input that could not be taken yet; false if there is no memory. */
bool control_stream_keep(struct control_stream *stream, const uint8_t *data, size_t size);
/* Says that 'size' bytes at the start of what was kept have been taken. */
void control_stream_taken(struct control_stream *stream, size_t size);
/* Ends a stream with a result or an error, and frees it. */
void control_stream_finish(struct control_stream *stream, json_t *result);
void control_stream_fail(struct control_stream *stream, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends a stream whose client reads too slowly, and returns true, or returns false. */
bool control_stream_drop_if_slow(struct control_stream *stream);

/* control_command.c */

/* Answers one line. */
void control_handle_line(struct control_client *client, const char *line, size_t length);
/* Members of a request.  Each answers the request with an error and returns NULL or false if it is not as
 * wanted; 'to' is left alone where an optional one is missing. */
struct node *control_get_node(const struct control_request *request);
const char *control_get_path(const struct control_request *request);
bool control_get_number(const struct control_request *request, const json_t *object, const char *name,
			json_int_t minimum, json_int_t maximum, bool required, json_int_t *to);

/* control_channel.c */
void control_exec(const struct control_request *request);
void control_read_file(const struct control_request *request);
void control_write_file(const struct control_request *request);

/* control_lab.c */
void control_pause(const struct control_request *request);
void control_resume(const struct control_request *request);
void control_save(const struct control_request *request);
void control_restore(const struct control_request *request);
void control_tests(const struct control_request *request);
void control_capture_position(const struct control_request *request);

/* lab_done of a stream with these ops, which waits for something that takes a while: ends it with that. */
void control_task_done(void *opaque, const char *failure, json_t *result);
extern const struct control_stream_ops control_task_ops;

/* control_link.c */
void control_link(const struct control_request *request);
void control_flap(const struct control_request *request);
void control_tc(const struct control_request *request);

/* control_capture.c */
void control_capture(const struct control_request *request);

/* control_watch.c */
void control_events(const struct control_request *request);
void control_console(const struct control_request *request);
void control_logs(const struct control_request *request);

/* control_converge.c */
void control_plan(const struct control_request *request);
void control_converge(const struct control_request *request);

#endif /* control_internal.h */
