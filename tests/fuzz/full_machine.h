/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_FULL_MACHINE_H
#define TESTS_FUZZ_FULL_MACHINE_H 1

/* A stand-in machine with a NIC, a console, an entropy device, a balloon and a UART, whose users check what they are
 * given.  Thread-safety: one thread. */

#define FULL_MACHINE_SLOT_CONSOLE 1
#define FULL_MACHINE_SLOT_RNG 2
#define FULL_MACHINE_SLOT_BALLOON 4
#define FULL_MACHINE_SLOT_NET 31

struct machine;

/* To be freed with stand_in_destroy(). */
struct machine *full_machine_create(void);

#endif /* full_machine.h */
