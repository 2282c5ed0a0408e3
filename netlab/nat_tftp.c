/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/nat_tftp.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Theory of operation
 * -------------------
 * A transfer is known by its client's address and port.  Its block is sent when the one before is acknowledged; the
 * request, or an answer to options, counts as block 0.  When the one before is acknowledged again, the block was lost:
 * it is sent again, but not at once, since an acknowledgement that was only late would have every block from then on
 * be sent twice (RFC 1123, 4.2.3.1). */

#define BLOCK_DEFAULT 512
#define BLOCK_MIN 8
#define NAME_LENGTH_MAX 255
#define AGAIN_AFTER 200000000ull /* Nanoseconds. */

enum operation { READ_REQUEST = 1, WRITE_REQUEST, DATA, ACKNOWLEDGEMENT, ERROR, OPTIONS };
enum failure { UNDEFINED, NOT_FOUND, ACCESS_VIOLATION, DISK_FULL, ILLEGAL };

struct transfer {
	int file; /* Or -1: it is none. */
	int family;
	struct in6_addr client;
	uint16_t port;
	size_t block_size;
	uint64_t block; /* That was sent last. */
	bool is_last;
	uint64_t sent; /* When. */
};

struct nat_tftp {
	char *folder;
	struct transfer transfers[NAT_TFTP_TRANSFERS_MAX];
};

struct nat_tftp *nat_tftp_create(const char *folder)
{
	struct nat_tftp *tftp = calloc(1, sizeof(*tftp));

	if (tftp)
		tftp->folder = strdup(folder);
	if (!tftp || !tftp->folder) {
		free(tftp);
		return NULL;
	}
	for (size_t i = 0; i < NAT_TFTP_TRANSFERS_MAX; i++)
		tftp->transfers[i].file = -1;
	return tftp;
}

static void end(struct transfer *transfer)
{
	if (transfer->file >= 0)
		close(transfer->file);
	transfer->file = -1;
}

void nat_tftp_reset(struct nat_tftp *tftp)
{
	for (size_t i = 0; i < NAT_TFTP_TRANSFERS_MAX; i++)
		end(&tftp->transfers[i]);
}

void nat_tftp_destroy(struct nat_tftp *tftp)
{
	if (!tftp)
		return;
	nat_tftp_reset(tftp);
	free(tftp->folder);
	free(tftp);
}

static void put_16(uint8_t *at, uint64_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static size_t put_error(enum failure failure, const char *text, uint8_t *answer)
{
	put_16(answer, ERROR);
	put_16(answer + 2, failure);
	strcpy((char *)answer + 4, text);
	return 4 + strlen(text) + 1;
}

static bool is_of(const struct transfer *transfer, const struct nat_datagram *datagram)
{
	return transfer->file >= 0 && transfer->family == datagram->family && transfer->port == datagram->source_port &&
	       !memcmp(&transfer->client, &datagram->source, sizeof(transfer->client));
}

static struct transfer *find(struct nat_tftp *tftp, const struct nat_datagram *datagram)
{
	for (size_t i = 0; i < NAT_TFTP_TRANSFERS_MAX; i++)
		if (is_of(&tftp->transfers[i], datagram))
			return &tftp->transfers[i];
	return NULL;
}

/* The client's, or a free one, or the one that has been idle longest. */
static struct transfer *find_room(struct nat_tftp *tftp, const struct nat_datagram *datagram)
{
	struct transfer *room = find(tftp, datagram);

	for (size_t i = 0; !room && i < NAT_TFTP_TRANSFERS_MAX; i++)
		if (tftp->transfers[i].file < 0)
			room = &tftp->transfers[i];
	if (!room)
		room = &tftp->transfers[0];
	for (size_t i = 0; room->file >= 0 && !is_of(room, datagram) && i < NAT_TFTP_TRANSFERS_MAX; i++)
		if (tftp->transfers[i].sent < room->sent)
			room = &tftp->transfers[i];
	end(room);
	return room;
}

/* Opens a regular file below the folder, or returns -1.  The kernel sees to it that neither ".." nor a link leads
 * out. */
static int open_file(const struct nat_tftp *tftp, const char *name)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int folder = open(tftp->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat status;
	int file;

	if (folder < 0)
		return -1;
	file = (int)syscall(SYS_openat2, folder, name + strspn(name, "/"), &how, sizeof(how));
	close(folder);
	if (file >= 0 && (fstat(file, &status) < 0 || !S_ISREG(status.st_mode))) {
		close(file);
		return -1;
	}
	return file;
}

/* Returns the text at '*at', which ends within the payload, and moves on to what follows it, or NULL. */
static const char *take_text(const struct nat_datagram *datagram, size_t *at)
{
	const char *text = (const char *)datagram->payload + *at;
	size_t length = strnlen(text, datagram->size - *at);

	if (*at + length >= datagram->size)
		return NULL;
	*at += length + 1;
	return text;
}

static size_t put_option(const char *name, uint64_t value, uint8_t *answer, size_t at)
{
	int length = snprintf((char *)answer + at, NAT_TFTP_ANSWER_MAX - at, "%s%c%llu", name, '\0',
			      (unsigned long long)value);

	return at + (size_t)length + 1;
}

/* Answers the options from 'at' on, each once at most.  Returns the answer's size, or 0 when there are none that are
 * known. */
static size_t answer_options(struct transfer *transfer, const struct nat_datagram *datagram, size_t at, uint8_t *answer)
{
	bool has_block_size = false, has_size = false;
	const char *name, *value;
	struct stat status;
	size_t size = 2;

	put_16(answer, OPTIONS);
	while ((name = take_text(datagram, &at)) && (value = take_text(datagram, &at))) {
		unsigned long number = strtoul(value, NULL, 10);

		if (!has_block_size && !strcasecmp(name, "blksize") && number >= BLOCK_MIN) {
			transfer->block_size = number < NAT_TFTP_BLOCK_MAX ? number : NAT_TFTP_BLOCK_MAX;
			size = put_option("blksize", transfer->block_size, answer, size);
			has_block_size = true;
		} else if (!has_size && !strcasecmp(name, "tsize") && fstat(transfer->file, &status) == 0) {
			size = put_option("tsize", (uint64_t)status.st_size, answer, size);
			has_size = true;
		}
	}
	return size > 2 ? size : 0;
}

static size_t send_block(struct transfer *transfer, uint64_t now, uint8_t *answer)
{
	off_t offset = (off_t)(transfer->block - 1) * (off_t)transfer->block_size;
	ssize_t count = pread(transfer->file, answer + 4, transfer->block_size, offset);

	if (count < 0) {
		end(transfer);
		return put_error(UNDEFINED, "the file cannot be read", answer);
	}
	transfer->is_last = (size_t)count < transfer->block_size;
	transfer->sent = now;
	put_16(answer, DATA);
	put_16(answer + 2, transfer->block);
	return 4 + (size_t)count;
}

static size_t take_request(struct nat_tftp *tftp, const struct nat_datagram *datagram, uint64_t now, uint8_t *answer)
{
	size_t at = 2, size;
	const char *name = take_text(datagram, &at), *mode = name ? take_text(datagram, &at) : NULL;
	struct transfer *transfer;
	int file;

	if (!mode || strlen(name) > NAME_LENGTH_MAX)
		return put_error(ILLEGAL, "no request", answer);
	if (strcasecmp(mode, "octet") != 0)
		return put_error(UNDEFINED, "there is no mode but octet", answer);
	file = open_file(tftp, name);
	if (file < 0)
		return put_error(NOT_FOUND, "no such file", answer);
	transfer = find_room(tftp, datagram);
	*transfer = (struct transfer){.file = file,
				      .family = datagram->family,
				      .client = datagram->source,
				      .port = datagram->source_port,
				      .block_size = BLOCK_DEFAULT,
				      .sent = now};
	size = answer_options(transfer, datagram, at, answer);
	if (size > 0)
		return size;
	transfer->block = 1;
	return send_block(transfer, now, answer);
}

static size_t take_acknowledgement(struct transfer *transfer, const struct nat_datagram *datagram, uint64_t now,
				   uint8_t *answer)
{
	uint16_t block;

	if (datagram->size < 4)
		return 0;
	block = (uint16_t)(datagram->payload[2] << 8 | datagram->payload[3]);
	if (block == (uint16_t)transfer->block) {
		if (transfer->is_last) {
			end(transfer);
			return 0;
		}
		transfer->block++;
		return send_block(transfer, now, answer);
	}
	if (transfer->block > 0 && block == (uint16_t)(transfer->block - 1) && now - transfer->sent > AGAIN_AFTER)
		return send_block(transfer, now, answer);
	return 0;
}

size_t nat_tftp_answer(struct nat_tftp *tftp, const struct nat_datagram *datagram, uint64_t now,
		       uint8_t answer[NAT_TFTP_ANSWER_MAX])
{
	struct transfer *transfer = find(tftp, datagram);

	if (datagram->size < 2 || datagram->payload[0] != 0)
		return 0;
	switch (datagram->payload[1]) {
	case READ_REQUEST:
		return take_request(tftp, datagram, now, answer);
	case WRITE_REQUEST:
		return put_error(ACCESS_VIOLATION, "files can only be read", answer);
	case ACKNOWLEDGEMENT:
		return transfer ? take_acknowledgement(transfer, datagram, now, answer) : 0;
	case ERROR:
		if (transfer)
			end(transfer);
		return 0;
	default:
		return 0;
	}
}
