/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_FINISHING_H
#define TESTS_FUZZ_FINISHING_H 1

struct frame;

/* Finishes a frame on which work was left undone, and dies if what comes of it cannot be. */
void finishing_check(const struct frame *frame);

#endif /* finishing.h */
