/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_CRASH_H
#define NETLAB_CAPTURE_CRASH_H 1

/* What is written when the process dies
 * =====================================
 *
 * When the process dies by its own fault (SIGSEGV, SIGABRT and their like), what the recorder has is written to a
 * file by the signal's handler, and then the signal does what it did before.  All that needs is made beforehand.
 *
 * Thread-safety: the thread that creates captures.  A process has one at a time, as it has one handler. */

struct capture;
struct capture_crash;

/* Has 'path' be written, and its folders made, if that happens; returns NULL when out of memory or when there is one
 * already. */
struct capture_crash *capture_crash_arm(struct capture *capture, const char *path);
void capture_crash_disarm(struct capture_crash *crash);

#endif /* capture_crash.h */
