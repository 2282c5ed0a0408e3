/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_INTERNAL_H
#define NETLAB_CAPTURE_INTERNAL_H 1

/* What the files of the capture share: capture.c (ports, the writer's thread), capture_producer.c (the producer's
 * side), capture_stream.c (records as pcapng), capture_lab_file.c (the lab's file), capture_reader.c (those who read
 * live or what was recorded) and capture_crash.c (what is written when the process dies).
 *
 * Thread-safety: as said with each member. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pcap/pcap.h>

#include "netlab/capture.h"
#include "netlab/capture_file.h"
#include "netlab/capture_lab_file.h"
#include "netlab/capture_record.h"
#include "netlab/capture_recorder.h"
#include "netlab/capture_ring.h"
#include "netlab/pcapng.h"

enum capture_port_state {
	CAPTURE_OPEN,
	CAPTURE_ENDING, /* The record that says so is in the ring. */
	CAPTURE_ENDED,  /* The file is closed. */
};

struct capture_port {
	char *name; /* Constant. */
	bool has_mac;
	uint8_t mac[6];
	_Atomic uint64_t speed;            /* Bits a second; 0: no limit. */
	_Atomic(const char *) description; /* Of a struct capture_text, or NULL. */
	struct capture_file *file;         /* NULL: it has none. */
	_Atomic enum capture_port_state state;
	_Atomic uint64_t lost;     /* By the ring, counted by the producer. */
	_Atomic uint64_t given_up; /* By the lab's file, as it could not be written. */
	uint64_t added, evicted;   /* The writer's: crossings that went into the recorder, and out of it. */
};

/* Text, names or a rotation that may still be read though there are others by now: freed at the end. */
struct capture_retired {
	struct capture_retired *next;
	max_align_t bytes[];
};

struct capture_names {
	size_t count;
	struct pcapng_name *names; /* Behind it, with their texts. */
};

/* A frame that never was on the wire, and was refused while another was on its way. */
struct capture_refusal {
	int port, reason;
	size_t size;
	uint64_t id;
};

#define CAPTURE_REFUSALS_MAX 64

/* The producer's record that is being written. */
struct capture_current {
	const struct frame *frame;
	struct capture_record *record; /* NULL: there was no room for it. */
	struct capture_crossing *crossings, *sent;
	uint64_t time, id;
	uint32_t count;
	bool is_open; /* A frame was begun, and has not ended. */
	int resumed;  /* The port by which it was sent before it was in a wire; negative: it is sent now. */
	bool is_impaired;
	struct capture_impairment impairment;
	uint32_t refusal_count;
	struct capture_refusal refusals[CAPTURE_REFUSALS_MAX];
};

struct capture {
	/* Constant. */
	char *folder; /* NULL: there are no files. */
	char *section_texts[4];
	struct capture_options options;
	struct pcapng_section section;
	pcap_t *format; /* What all ports' files have in common. */
	uint64_t epoch; /* CLOCK_REALTIME less CLOCK_MONOTONIC at creation, nanoseconds. */
	struct capture_ring *ring;

	/* The thread's that adds ports; what is in it is read by all once port_count has it. */
	struct capture_port **ports; /* CAPTURE_PORTS_MAX of them, the first port_count being there. */
	_Atomic int port_count;
	_Atomic(const struct capture_names *) names;
	_Atomic(const struct capture_rotation *) rotation; /* Of the lab's file. */
	_Atomic bool has_events;                           /* The same. */
	struct capture_retired *retired;
	bool started;
	pthread_t writer;

	/* The producer's. */
	struct capture_current current;

	/* The writer's. */
	int looks; /* Before it waits to be woken. */
	struct capture_files unflushed;
	struct capture_lab_file *lab_file;
	struct capture_recorder *recorder;
	struct capture_readers *readers;
	struct capture_crash *crash;
};

#endif /* capture_internal.h */
