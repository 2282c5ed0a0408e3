/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_LAB_LINK_H
#define NETLAB_LAB_LINK_H 1

/* Links of a running lab
 * ======================
 *
 * What users change of links while a lab runs: carrier, cuts of one direction, and impairments.  A link is named by a
 * port at either end ("h1:eth0", "socket:qemu1"); the outer port of a network ("network:uplink") has a link of its own, to
 * that network.  A node with one interface may stand for its port.
 *
 * Directions are seen from the port that is named.
 *
 * Nothing of this is in the topology's file.  When the lab is changed (lab_converge()), links that stay keep their
 * carrier and their cuts, and have the file's impairments again; links that are new are up.
 *
 * Thread-safety: all of it belongs to the control loop. */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/error.h"
#include "netlab/lab.h"

enum lab_side {
	LAB_BOTH,
	LAB_TX, /* What the port sends. */
	LAB_RX, /* What it receives. */
};

enum lab_impair {
	LAB_IMPAIR_SET,   /* What a text names becomes what that says; the rest stays. */
	LAB_IMPAIR_CLEAR, /* No impairments. */
	LAB_IMPAIR_RESET, /* Those of the file, or, since its last event, of the schedule there. */
};

/* Bytes of a text of impairments. */
#define LAB_IMPAIR_TEXT_MAX 4096u

/* Returns the link of that port, or (NULL) all, as docs/control-protocol.md describes it (a new reference), or NULL
 * with 'error' set. */
json_t *lab_links(const struct lab *lab, const char *port, struct error *error);

/* Takes the carrier from the link, or gives it back; that mends its cuts as well.  With a side, that direction alone is
 * cut or mended, and the carrier stays.  Ends a flapping.  Returns 0 or a negative errno value with 'error' set:
 * -ENOENT when there is no such port. */
int lab_set_link(struct lab *lab, const char *port, enum lab_side side, bool is_up, struct error *error);

/* Changes what frames meet.  'text', a YAML map as under "impair:" in a topology, is for LAB_IMPAIR_SET.  Returns 0, or a
 * negative errno value with 'error' set, and then nothing has changed: -ENOENT, or -EINVAL for what the text says. */
int lab_impair(struct lab *lab, const char *port, enum lab_side side, enum lab_impair action, const char *text,
	       struct error *error);

#define LAB_FLAPS_MAX 1000000u
#define LAB_FLAP_TIME_MIN 1000000ull              /* Nanoseconds. */
#define LAB_FLAP_TIME_MAX (86400 * 1000000000ull) /* The same. */

struct lab_flap_options {
	uint32_t count;    /* How often it goes down, 1 to LAB_FLAPS_MAX. */
	uint64_t down, up; /* Nanoseconds of each. */
};

/* The link has gone down, or come up, for the 'number'th time, from 1 on. */
typedef void lab_flapped(void *opaque, bool is_up, uint32_t number);

/* Has the link lose its carrier again and again; it is up at the end, and when it is given up: by lab_forget().  One at
 * a time for each link (-EBUSY).  Options must be within their limits.  As lab_pause(); 'flapped' is called before
 * 'done'. */
int lab_flap(struct lab *lab, const char *port, const struct lab_flap_options *options, lab_flapped *flapped,
	     lab_done *done, void *opaque, struct error *error);

#endif /* lab_link.h */
