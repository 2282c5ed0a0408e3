/* SPDX-License-Identifier: Apache-2.0 */
/* A frame from anybody is taken apart and told in a few words. */

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/frame_summary.h"
#include "netlab/packet_identity.h"

static void check(bool condition)
{
	if (!condition)
		abort();
}

static bool is_within(const uint8_t *part, size_t part_size, const uint8_t *whole, size_t size)
{
	return part >= whole && part_size <= size && (size_t)(part - whole) <= size - part_size;
}

static void check_headers(const uint8_t *frame, size_t size)
{
	struct packet_identity identity, behind_router;
	struct frame_headers headers;

	if (!frame_headers_read(frame, size, &headers)) {
		check(size < 14);
		return;
	}
	check(is_within(headers.payload, headers.payload_size, frame, size));
	if (headers.family && headers.upper) {
		check(is_within(headers.upper, headers.upper_size, headers.payload, headers.payload_size));
		check(headers.upper_size <= headers.upper_length && headers.upper_length <= headers.packet_size);
	}
	identity = packet_identity(&headers);
	behind_router = identity;
	behind_router.hop_limit--;
	check(!packet_identity_follows(&identity, &identity));
	check(packet_identity_follows(&identity, &behind_router) == (identity.hash != 0 && identity.hop_limit > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[FRAME_SUMMARY_MAX];
	size_t length;

	check(frame_summary(data, size, text) == text);
	length = strnlen(text, sizeof(text));
	check(length > 0 && length < sizeof(text));
	for (size_t i = 0; i < length; i++)
		check(isprint((unsigned char)text[i]));
	check_headers(data, size);
	return 0;
}
