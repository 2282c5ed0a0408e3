/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_VIRTIO_INPUT_H
#define TESTS_FUZZ_VIRTIO_INPUT_H 1

/* A virtio driver made of fuzz input
 * ==================================
 *
 * The device is set up as a good driver does, with features from the input; then the input is a list of operations:
 * good chains and bad ones, bytes anywhere in memory, registers, configuration space, turns of the loop, and
 * whatever else the target adds.  So most inputs get deep, and no state is out of reach.
 */

#include "stand_in.h"

#define VIRTIO_INPUT_MEMORY 0x10000u

struct virtio_input {
	struct machine *machine;
	struct input *input;
	uint8_t *memory;
	unsigned int slot;
	unsigned int queue_count;
	uint32_t writable_queues; /* Bits of those whose good chains the device writes. */
	uint64_t features;        /* Device-specific ones that may be negotiated. */
	uint16_t next_available[8];
	void (*operation)(void *opaque, struct input *input);
	void *opaque;
};

/* Reset and set-up, with these features of those offered.  After it the device must run. */
void virtio_input_start(struct virtio_input *driver, uint64_t features);
/* Offers a good chain of 'count' descriptors of 'length' bytes each, and kicks. */
void virtio_input_offer(struct virtio_input *driver, unsigned int queue, unsigned int count, uint32_t length);
/* Runs the whole input. */
void virtio_input_run(struct virtio_input *driver);

#endif /* virtio_input.h */
