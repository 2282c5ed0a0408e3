/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_ATTACHMENT_INTERNAL_H
#define NETLAB_ATTACHMENT_INTERNAL_H 1

/* What a kind of attachment is.  Thread-safety: as netlab/attachment.h. */

#include <stddef.h>
#include <stdint.h>

#include "core/log.h"
#include "netlab/attachment.h"
#include "netlab/dataplane.h"
#include "netlab/topology.h"

struct attachment_ops;

/* Frames, or reads, of one callback: then others have their turn. */
#define ATTACHMENT_BATCH 64

/* The first member of each kind's struct. */
struct attachment {
	const struct attachment_ops *ops;
	const struct topology_attachment *topology;
	struct bridge_client *bridge_client; /* For 'open'. */
	struct loop *loop;                   /* While it is plugged in. */
	struct port *port;
	struct log_limit log_limit;
};

struct attachment_ops {
	size_t size; /* Of the kind's struct, which is zero at 'open'. */
	int (*open)(struct attachment *attachment, struct error *error);
	void (*close)(struct attachment *attachment); /* Also when 'open' failed. */
	int (*plug)(struct attachment *attachment);
	void (*unplug)(struct attachment *attachment); /* Also when 'plug' failed. */
	void (*start)(struct attachment *attachment);  /* May be NULL. */
	void (*describe)(const struct attachment *attachment, struct attachment_status *status);
};

extern const struct attachment_ops attachment_stream_ops;
extern const struct attachment_ops attachment_datagram_ops;
extern const struct attachment_ops attachment_replay_ops;
extern const struct attachment_ops attachment_tap_ops;

/* A frame came from elsewhere. */
void attachment_transmit(struct attachment *attachment, const uint8_t *bytes, size_t size);
/* What came, of 'size' bytes, is no frame; there are as many of them at 'bytes' as a frame can have. */
void attachment_refuse(struct attachment *attachment, const uint8_t *bytes, size_t size);

#endif /* attachment_internal.h */
