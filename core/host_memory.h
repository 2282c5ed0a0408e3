/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOST_MEMORY_H
#define CORE_HOST_MEMORY_H 1

/* Host memory: how much there is for guests
 * =========================================
 *
 * What the kernel holds to be available without swapping, or less where a control group of this process may not have
 * that much: a container's, a user's.  Both versions of control groups are known, where they are usually mounted.
 *
 * Thread-safety: any thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct host_memory {
	uint64_t available; /* Bytes. */
	bool is_limited;    /* By a control group: the machine has more. */
};

/* Returns 0, or a negative errno value when the kernel does not say.  'root' is "" but in tests: what goes before
 * /proc and /sys. */
int host_memory_read(const char *root, struct host_memory *memory);

/* Returns the bytes that a process alone has in RAM and swap, without what it has mapped of files; 0 if there is no
 * such process. */
uint64_t host_memory_of_process(const char *root, pid_t pid);

#endif /* host_memory.h */
