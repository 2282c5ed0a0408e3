/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_FILE_H
#define NETLAB_CAPTURE_FILE_H 1

/* The capture of one port in a classic pcap file
 * ==============================================
 *
 * Records are kept in a buffer until it is full or capture_files_flush() is called.  When they cannot be
 * written (the disk is full), they are lost and counted, the file is cut back to the last whole record
 * before them, and the next ones are tried again: the file can always be read, and goes on when there is
 * room again.
 *
 * Thread-safety: one thread at a time, with what says so between two of them; capture_file_lost(),
 * capture_file_failure() and capture_file_path() any thread.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <pcap/pcap.h>

#include "core/error.h"

struct capture_file;

/* Files that hold records not yet written out.  Initialise with TAILQ_INIT(). */
TAILQ_HEAD(capture_files, capture_file);

/* Returns a file, not yet open, for the port named 'port_name', or NULL when out of memory. */
struct capture_file *capture_file_create(const char *folder, const char *port_name);

/* Creates the file, or empties it, and writes the pcap header, which is that of 'format'.  Never follows a
 * symbolic link or waits for a FIFO's reader.  Returns 0, or a negative errno value (-EBUSY: another process
 * writes it) with 'error' set. */
int capture_file_open(struct capture_file *file, pcap_t *format, struct error *error);

/* Writes out what is held and gives the file itself up, while path and loss can still be asked for.  'unflushed' is the
 * list it may be in. */
void capture_file_end(struct capture_file *file, struct capture_files *unflushed);

/* Opens a file that has ended again, to go on after what it has.  When it has gone it is made anew; what is no capture
 * of ours any more is left alone.  Returns 0, or a negative errno value (-EEXIST: it is none of ours) with 'error'
 * set. */
int capture_file_resume(struct capture_file *file, pcap_t *format, struct error *error);

/* Writes out what is held, and frees the file, which may be NULL, and must not be in a list. */
void capture_file_close(struct capture_file *file);

/* Adds a record of 'captured' of the 'size' bytes of a frame, with 'time' in nanoseconds since the epoch.  Puts the
 * file into 'unflushed'. */
void capture_file_write(struct capture_file *file, uint64_t time, const uint8_t *bytes, size_t captured, size_t size,
			struct capture_files *unflushed);

/* Writes out what the files in the list hold, and empties the list. */
void capture_files_flush(struct capture_files *unflushed);

/* Bytes of the file that are whole records, but for what is held.  The thread that writes. */
uint64_t capture_file_size(const struct capture_file *file);

/* Records that could not be written. */
uint64_t capture_file_lost(const struct capture_file *file);
/* Why the last of them could not (errno), or 0 since it goes on. */
int capture_file_failure(const struct capture_file *file);
const char *capture_file_path(const struct capture_file *file);

/* What all files of captures have in common. */

/* Opens a file that is regular, or is made, for appending ('access' is O_WRONLY or O_RDWR), and makes sure that no
 * other process writes it.  Never follows a symbolic link.  Returns a file descriptor, or a negative errno value, of
 * which capture_file_cannot_open() makes a sentence in 'error' and returns that. */
int capture_file_open_regular(const char *path, int access);
int capture_file_cannot_open(const char *path, int errnum, struct error *error);

#endif /* capture_file.h */
