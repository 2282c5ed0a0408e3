/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H 1

/* Event loop
 * ==========
 *
 * One loop is run by one thread and calls back for file descriptors that are ready (epoll), timers that are due,
 * tasks that were deferred, and functions other threads asked it to run.  Objects that belong to a loop are
 * touched by its thread alone; that is how netlabd does without locks: a vCPU thread that must change
 * what belongs to the data plane asks the data plane's loop to do it with loop_call().
 *
 * A callback may add, change and remove any watch, timer or task of its loop, its own included, and free the
 * object that holds it after removing it.
 *
 * Time: a timer is as late as the thread is woken late, which can be some hundred microseconds on a virtual machine.  A
 * precise timer's thread sleeps until shortly before the deadline and then turns without sleeping, so that it costs
 * LOOP_PRECISE_MARGIN of a processor each time.  A loop that polls (loop_set_polling()) does the same for what it
 * cannot foresee.
 *
 * Thread-safety: loop_post(), loop_call() and loop_stop() may be called by any thread; all else by the thread that
 * runs the loop, or by any one thread before it runs.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

struct loop;

typedef void loop_function(void *opaque);

/* Returns a new loop, or NULL with 'error' set. */
struct loop *loop_create(struct error *error);

/* Frees a loop that is not running.  Functions posted and not yet run are dropped. */
void loop_destroy(struct loop *loop);

/* Runs the calling thread in the loop until loop_stop(), then runs what was posted before it, and returns. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Has 'function' called in the loop's thread, after what was posted earlier. */
void loop_post(struct loop *loop, loop_function *function, void *opaque);

/* The same, and waits until it has returned.  In the loop's own thread it is called at once.  The loop must be
 * running. */
void loop_call(struct loop *loop, loop_function *function, void *opaque);

/* For those who run a loop by hand (tests, fuzz targets): makes the calling thread the loop's, as loop_run() does, and
 * returns.  What is due is then done by loop_turn(), which does not sleep. */
void loop_adopt(struct loop *loop);
void loop_turn(struct loop *loop);

/* True in the thread that runs the loop. */
bool loop_is_current(const struct loop *loop);

/* A file descriptor to watch; the caller fills the first three and keeps the struct where it is until removal. */
struct loop_watch {
	int fd;
	void (*ready)(void *opaque, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR. */
	void *opaque;
	bool added; /* The loop's. */
};

/* Watches for 'events' (epoll's).  Return 0 or a negative errno value. */
int loop_watch_add(struct loop *loop, struct loop_watch *watch, uint32_t events);
int loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events);
/* Does nothing for a watch that was not added. */
void loop_watch_remove(struct loop *loop, struct loop_watch *watch);

/* How long before the deadline of a precise timer the loop stops sleeping, nanoseconds. */
#define LOOP_PRECISE_MARGIN 150000

/* A timer that fires once.  Zero-initialise it and set 'function' and 'opaque'.  It fires at its deadline or up to a
 * millisecond later; a precise one within microseconds when the thread has a processor. */
struct loop_timer {
	loop_function *function;
	void *opaque;
	bool is_precise;   /* The caller's, constant while it is armed. */
	bool armed;        /* This and what follows are the loop's. */
	uint64_t deadline; /* CLOCK_MONOTONIC, nanoseconds. */
	struct loop_timer *next;
};

/* Arms or re-arms 'timer' to fire at 'deadline' (nanoseconds of CLOCK_MONOTONIC). */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Work to do in the loop's next turn, without sleeping before it: how a device that has more to do lets others go
 * first. */
struct loop_task {
	loop_function *function;
	void *opaque;
	struct loop_task *next;
	bool queued;
};

/* Queues 'task' unless it is queued. */
void loop_task_queue(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* Called before the loop sleeps or turns again, once per turn; one function per loop.  For work that is
 * best done once for a batch. */
void loop_set_turn_end(struct loop *loop, loop_function *function, void *opaque);

/* Longest time worth polling for what would wake the thread, nanoseconds: two of the slowest wake-ups there are. */
#define LOOP_POLLING_MAX 200000

/* Has the loop poll before it sleeps: after something happened it turns on without sleeping for up to 'longest'
 * nanoseconds, or less when that did not pay lately.  It does not when there are no more processors than threads that
 * want one.  0, as at first, ends it.  'longest' should not be more than LOOP_POLLING_MAX. */
void loop_set_polling(struct loop *loop, uint64_t longest);

/* Something in memory that a polling loop looks at, so that whoever changes it need not make a system call to wake the
 * thread.  The caller fills the first three and keeps the struct where it is until removal. */
struct loop_poll {
	bool (*look)(void *opaque); /* Does what there is to do, and returns whether there was anything. */
	/* The loop looks no more, and it is removed: from here on it takes an event.  Does what there is to do after
	 * all, and returns whether there was anything. */
	bool (*leave)(void *opaque);
	void *opaque;
	bool added; /* This and what follows are the loop's. */
	unsigned int misses;
	struct loop_poll *next;
};

/* Has it looked at in each turn until the loop sleeps, or it was not added again for long.  Returns false, and does
 * nothing, when the loop would not poll now. */
bool loop_poll_add(struct loop *loop, struct loop_poll *poll);
/* Does nothing for one that is not added. */
void loop_poll_remove(struct loop *loop, struct loop_poll *poll);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t loop_now(void);

#endif /* loop.h */
