/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_SUMMARY_H
#define NETLAB_FRAME_SUMMARY_H 1

/* A frame in a few words
 * ======================
 *
 * What somebody who looks for a frame knows it by: "ARP who-has 10.0.0.2 tell 10.0.0.1", "ICMP echo request 10.0.0.1 >
 * 10.0.0.2 id 5 seq 1", "TCP 10.0.0.1:40000 > 10.0.0.2:80 SYN seq 77 length 0".  It is no dissector: whoever wants to
 * know more opens the capture in Wireshark.  Sequence numbers are those in the frame.
 *
 * A frame may be anything, and may be cut short anywhere.
 *
 * Thread-safety: any thread. */

#include <stddef.h>
#include <stdint.h>

/* Bytes of the longest summary, its NUL included. */
#define FRAME_SUMMARY_MAX 256

/* So many bytes of a frame are enough for its summary, unless it has VLAN tags and long headers. */
#define FRAME_SUMMARY_BYTES 96

/* Puts a summary of the first 'size' bytes of a frame into 'text', and returns it.  It has printable characters of
 * ASCII only. */
const char *frame_summary(const uint8_t *frame, size_t size, char text[FRAME_SUMMARY_MAX]);

#endif /* frame_summary.h */
