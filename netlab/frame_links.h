/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_LINKS_H
#define NETLAB_FRAME_LINKS_H 1

/* Which frames are packets that a router passed on
 * ================================================
 *
 * A guest that routes receives a frame and sends another one, of which the lab knows nothing but that it came from that
 * guest.  A frame that a port sent is linked to the one, its parent, that a port of the same owner received, not later,
 * that has the same identity (netlab/packet_identity.h, which says what is missed), and whose hop limit is the least
 * above its own; of several such, to the last one that the port has not passed on yet.  That is a guess, and whoever
 * shows it says so.
 *
 * Frames that a guest makes all alike cannot have this search for ever: how many are looked at for one is limited.
 *
 * Thread-safety: one thread at a time. */

#include "netlab/frame_index.h"

struct frame_links;

/* Links the frames of 'index', which must outlive the links and not change.  Returns NULL when out of memory. */
struct frame_links *frame_links_create(const struct frame_index *index);
void frame_links_destroy(struct frame_links *links);

/* The number of a frame, or FRAME_INDEX_NONE.  Parents have smaller numbers than their children, and 'frame_links_next'
 * goes from one child of a frame to another. */
uint32_t frame_links_parent(const struct frame_links *links, uint32_t frame);
uint32_t frame_links_child(const struct frame_links *links, uint32_t frame);
uint32_t frame_links_next(const struct frame_links *links, uint32_t frame);

/* The frame that the packet began as. */
uint32_t frame_links_root(const struct frame_links *links, uint32_t frame);

/* Puts 'root' and all frames that were made of it into 'frames', as far as there is room, in the order of their
 * numbers.  Returns how many that are. */
size_t frame_links_collect(const struct frame_links *links, uint32_t root, uint32_t *frames, size_t room);

#endif /* frame_links.h */
