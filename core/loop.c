/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/polling.h"

/* Theory of operation
 * -------------------
 * A turn of the loop: wait (no longer than to the next timer, not at all when tasks are queued), call ready watches,
 * due timers, queued tasks, and posted functions, then the turn's end.  Posted functions come through a list under a
 * mutex and an eventfd, which is written only when the list was empty, so that a burst costs one system call.
 *
 * Timers stand in two lists sorted by deadline, one of precise timers and one of others: a loop has a handful.
 *
 * A sleep until an ordinary timer is rounded up, so as not to turn just before its deadline.  One until a precise timer
 * ends before it, and the loop turns without sleeping from then on.  The kernel lets a sleep end late, by 50
 * microseconds or by a thousandth (select_estimate_accuracy() in Linux), whichever is more, so that it can wake threads
 * together: the first of these is turned off, and for the second long sleeps are made in two.
 */

#define EVENTS_PER_TURN 64

/* How long a loop that looks at memory leaves the kernel unasked for events, nanoseconds. */
#define ASKING_INTERVAL 5000
/* Turns after which something in memory that did not change is left. */
#define MISSES_MAX 4096

#define SECOND 1000000000ull
#define MILLISECOND 1000000ull
#define FOREVER UINT64_MAX
/* As long as any sleep needs to be, a hundred days. */
#define SLEEP_MAX (1ull << 53)

struct posted {
	loop_function *function;
	void *opaque;
	struct posted *next;
	bool on_heap;
};

struct loop {
	int epoll_fd;
	int event_fd;
	_Atomic bool stop;
	_Atomic bool running;
	pthread_t thread;
	struct loop_timer *timers[2]; /* Ordinary and precise ones. */
	bool has_no_slack;            /* The thread's sleeps end when they should. */
	bool has_no_pwait2;           /* The kernel is older than 5.11. */
	struct polling polling;
	struct loop_poll *polls, *next_poll; /* The latter: which one is looked at next in this turn. */
	uint64_t asked;                      /* When a polling loop asked for events last. */
	struct loop_task *tasks, **tasks_end;
	loop_function *turn_end;
	void *turn_end_opaque;
	struct epoll_event *batch; /* Events of this turn not yet handled. */
	int batch_count;
	pthread_mutex_t mutex; /* Guards the posted list. */
	struct posted *posted, **posted_end;
	_Atomic bool has_posted;
};

uint64_t loop_now(void)
{
	return clock_now();
}

struct loop *loop_create(struct error *error)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event event = {.events = EPOLLIN};

	if (!loop) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	polling_init(&loop->polling, 0);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->event_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) < 0) {
		error_set(error, ERROR_FAILED, errno, "cannot make an event loop: %s", strerror(errno));
		loop_destroy(loop);
		return NULL;
	}
	pthread_mutex_init(&loop->mutex, NULL);
	loop->tasks_end = &loop->tasks;
	loop->posted_end = &loop->posted;
	return loop;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->posted) {
		struct posted *posted = loop->posted;

		loop->posted = posted->next;
		if (posted->on_heap)
			free(posted);
	}
	polling_release(&loop->polling);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->event_fd >= 0)
		close(loop->event_fd);
	free(loop);
}

bool loop_is_current(const struct loop *loop)
{
	return loop->running && pthread_equal(loop->thread, pthread_self());
}

static void append_posted(struct loop *loop, struct posted *posted)
{
	bool was_empty;

	pthread_mutex_lock(&loop->mutex);
	was_empty = !loop->posted;
	*loop->posted_end = posted;
	loop->posted_end = &posted->next;
	loop->has_posted = true;
	pthread_mutex_unlock(&loop->mutex);
	if (was_empty)
		eventfd_write(loop->event_fd, 1);
}

void loop_post(struct loop *loop, loop_function *function, void *opaque)
{
	struct posted *posted = malloc(sizeof(*posted));

	if (!posted)
		abort(); /* A lost message would leave its sender waiting for ever. */
	*posted = (struct posted){.function = function, .opaque = opaque, .on_heap = true};
	append_posted(loop, posted);
}

struct call {
	struct posted posted;
	loop_function *function;
	void *opaque;
	pthread_mutex_t mutex;
	pthread_cond_t done_condition;
	bool done;
};

static void run_call(void *opaque)
{
	struct call *call = opaque;

	call->function(call->opaque);
	/* Signalled under the lock: the caller's stack holds 'call' and is gone once it sees 'done'. */
	pthread_mutex_lock(&call->mutex);
	call->done = true;
	pthread_cond_signal(&call->done_condition);
	pthread_mutex_unlock(&call->mutex);
}

void loop_call(struct loop *loop, loop_function *function, void *opaque)
{
	struct call call = {
		.function = function,
		.opaque = opaque,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.done_condition = PTHREAD_COND_INITIALIZER,
	};

	if (loop_is_current(loop)) {
		function(opaque);
		return;
	}
	call.posted = (struct posted){.function = run_call, .opaque = &call};
	append_posted(loop, &call.posted);
	pthread_mutex_lock(&call.mutex);
	while (!call.done)
		pthread_cond_wait(&call.done_condition, &call.mutex);
	pthread_mutex_unlock(&call.mutex);
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
	eventfd_write(loop->event_fd, 1);
}

int loop_watch_add(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
		return -errno;
	watch->added = true;
	return 0;
}

int loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? -errno : 0;
}

void loop_watch_remove(struct loop *loop, struct loop_watch *watch)
{
	if (!watch->added)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->added = false;
	/* It may be freed now: its events of this turn must not be delivered. */
	for (int i = 0; i < loop->batch_count; i++) {
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].events = 0;
	}
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->armed)
		return;
	for (struct loop_timer **at = &loop->timers[timer->is_precise]; *at; at = &(*at)->next) {
		if (*at == timer) {
			*at = timer->next;
			break;
		}
	}
	timer->armed = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline)
{
	struct loop_timer **at;

	loop_timer_cancel(loop, timer);
	timer->deadline = deadline;
	for (at = &loop->timers[timer->is_precise]; *at && (*at)->deadline <= deadline; at = &(*at)->next)
		;
	timer->next = *at;
	*at = timer;
	timer->armed = true;
}

void loop_task_queue(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	struct loop_task **at;

	if (!task->queued)
		return;
	for (at = &loop->tasks; *at && *at != task; at = &(*at)->next)
		;
	if (*at) {
		*at = task->next;
		if (loop->tasks_end == &task->next)
			loop->tasks_end = at;
	}
	task->queued = false;
}

void loop_set_turn_end(struct loop *loop, loop_function *function, void *opaque)
{
	loop->turn_end = function;
	loop->turn_end_opaque = opaque;
}

/* The timer whose deadline comes first, or NULL. */
static struct loop_timer *first_timer(const struct loop *loop)
{
	struct loop_timer *ordinary = loop->timers[false], *precise = loop->timers[true];

	return !precise || (ordinary && ordinary->deadline <= precise->deadline) ? ordinary : precise;
}

/* This and the following return whether there was anything. */
static bool run_timers(struct loop *loop)
{
	struct loop_timer *timer = first_timer(loop);
	uint64_t now = timer ? loop_now() : 0;
	bool found = timer && timer->deadline <= now;

	for (; timer && timer->deadline <= now; timer = first_timer(loop)) {
		loop_timer_cancel(loop, timer);
		timer->function(timer->opaque);
	}
	return found;
}

/* Runs the tasks queued before now; those they queue wait for the next turn, so that watches get theirs. */
static bool run_tasks(struct loop *loop)
{
	bool found = loop->tasks != NULL;
	size_t count = 0;

	for (struct loop_task *task = loop->tasks; task; task = task->next)
		count++;
	for (; count > 0 && loop->tasks; count--) {
		struct loop_task *task = loop->tasks;

		loop_task_cancel(loop, task);
		task->function(task->opaque);
	}
	return found;
}

static void run_posted(struct loop *loop)
{
	struct posted *posted;

	if (!atomic_load_explicit(&loop->has_posted, memory_order_relaxed))
		return;
	pthread_mutex_lock(&loop->mutex);
	posted = loop->posted;
	loop->has_posted = false;
	loop->posted = NULL;
	loop->posted_end = &loop->posted;
	pthread_mutex_unlock(&loop->mutex);
	while (posted) {
		struct posted *next = posted->next;
		bool on_heap = posted->on_heap;

		posted->function(posted->opaque); /* One that is not on the heap may be gone now. */
		if (on_heap)
			free(posted);
		posted = next;
	}
}

static uint64_t until(uint64_t deadline, uint64_t now)
{
	return deadline > now ? deadline - now : 0;
}

/* Nanoseconds to sleep at most. */
static uint64_t sleep_limit(const struct loop *loop)
{
	const struct loop_timer *ordinary = loop->timers[false], *precise = loop->timers[true];
	uint64_t now, limit = FOREVER, left;

	if (loop->tasks)
		return 0;
	if (!ordinary && !precise)
		return FOREVER;
	now = loop_now();
	if (ordinary) {
		left = until(ordinary->deadline, now);
		limit = left < SLEEP_MAX ? (left + MILLISECOND - 1) / MILLISECOND * MILLISECOND : SLEEP_MAX;
	}
	if (precise) {
		left = until(precise->deadline, now + LOOP_PRECISE_MARGIN);
		left -= left / 512;
		if (left < limit)
			limit = left;
	}
	return limit;
}

/* Kernels before 5.11 count sleeps in milliseconds; then it is polled for longer before a precise timer. */
static int wait_milliseconds(const struct loop *loop, struct epoll_event *events, uint64_t limit)
{
	uint64_t milliseconds = limit / MILLISECOND;

	return epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN,
			  limit == FOREVER         ? -1 :
			  milliseconds < INT32_MAX ? (int)milliseconds :
						     INT32_MAX);
}

static int wait_nanoseconds(struct loop *loop, struct epoll_event *events, uint64_t limit)
{
	const struct timespec time = {.tv_sec = (time_t)(limit / SECOND), .tv_nsec = (long)(limit % SECOND)};
	int count;

	if (loop->timers[true] && !loop->has_no_slack) {
		/* Where it is refused, precise timers are 50 microseconds less so. */
		(void)prctl(PR_SET_TIMERSLACK, 1);
		loop->has_no_slack = true;
	}
	count = epoll_pwait2(loop->epoll_fd, events, EVENTS_PER_TURN, &time, NULL);
	if (count >= 0 || errno == EINTR)
		return count;
	loop->has_no_pwait2 = true;
	return 0;
}

/* Waits for events, and tells the polling what woke the thread. */
static int wait_for_events(struct loop *loop, struct epoll_event *events, uint64_t limit)
{
	int count = limit == 0 || limit == FOREVER || loop->has_no_pwait2 ? wait_milliseconds(loop, events, limit) :
									    wait_nanoseconds(loop, events, limit);

	if (count > 0 && limit > 0 && loop->polling.longest > 0)
		polling_woken(&loop->polling, loop_now());
	return count;
}

static bool run_watches(struct loop *loop, uint64_t limit)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int count = wait_for_events(loop, events, limit);

	loop->batch = events;
	loop->batch_count = count > 0 ? count : 0;
	for (int i = 0; i < loop->batch_count; i++) {
		struct loop_watch *watch = events[i].data.ptr;
		eventfd_t value;

		if (!watch)
			eventfd_read(loop->event_fd, &value);
		else if (events[i].events)
			watch->ready(watch->opaque, events[i].events);
	}
	loop->batch_count = 0;
	loop->batch = NULL;
	return count > 0;
}

bool loop_poll_add(struct loop *loop, struct loop_poll *poll)
{
	poll->misses = 0;
	if (poll->added)
		return true;
	if (!polling_is_on(&loop->polling))
		return false;
	poll->added = true;
	poll->next = loop->polls;
	loop->polls = poll;
	return true;
}

void loop_poll_remove(struct loop *loop, struct loop_poll *poll)
{
	struct loop_poll **at;

	if (!poll->added)
		return;
	for (at = &loop->polls; *at && *at != poll; at = &(*at)->next)
		;
	if (*at)
		*at = poll->next;
	if (loop->next_poll == poll)
		loop->next_poll = poll->next;
	poll->added = false;
}

static bool leave(struct loop *loop, struct loop_poll *poll)
{
	loop_poll_remove(loop, poll);
	return poll->leave(poll->opaque);
}

/* Those that are added meanwhile have their turn in the next one. */
static bool look_at_polls(struct loop *loop)
{
	bool found = false;

	loop->next_poll = loop->polls;
	while (loop->next_poll) {
		struct loop_poll *poll = loop->next_poll;

		loop->next_poll = poll->next;
		if (++poll->misses > MISSES_MAX) {
			found |= leave(loop, poll);
		} else if (poll->look(poll->opaque)) {
			found = true;
		}
	}
	return found;
}

/* The loop is about to sleep.  Returns true if it must not. */
static bool leave_polls(struct loop *loop)
{
	bool found = false;

	while (loop->polls && !found)
		found = leave(loop, loop->polls);
	return found;
}

static bool run_turn(struct loop *loop, bool asks, uint64_t limit)
{
	bool found = asks && run_watches(loop, limit);

	found |= run_timers(loop);
	found |= run_tasks(loop);
	if (loop->polls)
		found |= look_at_polls(loop);
	run_posted(loop); /* They come with an event. */
	if (loop->turn_end)
		loop->turn_end(loop->turn_end_opaque);
	return found;
}

static bool turn(struct loop *loop, uint64_t limit)
{
	return run_turn(loop, true, limit);
}

/* The same, polling before it sleeps. */
static void turn_polling(struct loop *loop)
{
	uint64_t limit = sleep_limit(loop), now = loop_now();
	bool asks;

	if (limit > 0 && (polling_goes_on(&loop->polling, now) || leave_polls(loop)))
		limit = 0;
	asks = limit > 0 || !loop->polls || now - loop->asked >= ASKING_INTERVAL;
	if (asks)
		loop->asked = now;
	if (run_turn(loop, asks, limit))
		polling_found(&loop->polling, loop_now());
}

void loop_set_polling(struct loop *loop, uint64_t longest)
{
	polling_release(&loop->polling);
	polling_init(&loop->polling, longest);
}

void loop_adopt(struct loop *loop)
{
	loop->thread = pthread_self();
	loop->has_no_slack = false;
	loop->running = true;
}

void loop_turn(struct loop *loop)
{
	turn(loop, 0);
}

void loop_run(struct loop *loop)
{
	loop_adopt(loop);
	while (!loop->stop) {
		if (loop->polling.longest > 0)
			turn_polling(loop);
		else
			turn(loop, sleep_limit(loop));
	}
	run_posted(loop);
	loop->running = false;
	loop->stop = false;
}
