/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_NAT_TFTP_H
#define NETLAB_NAT_TFTP_H 1

/* TFTP server of a NAT gateway
 * ============================
 *
 * Lets guests read the files of one folder of the host (RFC 1350), in mode "octet" and with the options "blksize" and
 * "tsize" (RFC 2347 to 2349).  libslirp has such a server, but that follows every symbolic link, waits for the writer
 * of a pipe, and sends the next block for each acknowledgement, whichever it is of; so this one answers before it.
 *
 * Nothing outside of the folder can be read, by whatever name or link; only regular files can be.  Nothing is written.
 * It has no timer: a client that misses a block asks for it again.  Reading waits for the host's disk, and with it all
 * that the thread has to do: the folder should not be far away.
 *
 * Thread-safety: one thread at a time.
 */

#include <stddef.h>
#include <stdint.h>

#include "netlab/nat_datagram.h"

#define NAT_TFTP_PORT 69
/* Bytes of a block at most, so that its frame fits an MTU of 1500. */
#define NAT_TFTP_BLOCK_MAX 1428
#define NAT_TFTP_ANSWER_MAX (4 + NAT_TFTP_BLOCK_MAX)
/* Transfers at once; one more ends the one that has been idle longest. */
#define NAT_TFTP_TRANSFERS_MAX 32

struct nat_tftp;

/* Serves 'folder', which may come later: until it is there, no file is.  Returns NULL when out of memory. */
struct nat_tftp *nat_tftp_create(const char *folder);
void nat_tftp_destroy(struct nat_tftp *tftp); /* May be NULL. */
/* Forgets all transfers. */
void nat_tftp_reset(struct nat_tftp *tftp);

/* Answers what a client sent at 'now', loop_now().  Returns the size of the answer, or 0 for none. */
size_t nat_tftp_answer(struct nat_tftp *tftp, const struct nat_datagram *datagram, uint64_t now,
		       uint8_t answer[NAT_TFTP_ANSWER_MAX]);

#endif /* nat_tftp.h */
