/* SPDX-License-Identifier: Apache-2.0 */

/* Feeds what a test in a topology is made of, a pattern, a filter and a count, to those that read it, and frames to the
 * filter.  The input's first byte says which one it is; a pattern and a
 * filter end at the first NUL, and the output or the frame follows. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/frame_filter.h"
#include "netlab/output_match.h"
#include "netlab/topology_units.h"

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void try_pattern(const char *text, const char *output, size_t size)
{
	char problem[OUTPUT_PROBLEM_MAX];
	const char *reason = output_check_pattern(text, problem);

	check(!reason || *reason);
	check(*text || reason);
	if (!reason)
		check(output_matches(text, output, size) <= 1);
}

static void try_filter(const char *text, const uint8_t *frame, size_t size)
{
	const struct pcap_pkthdr header = {.caplen = (bpf_u_int32)size, .len = (bpf_u_int32)size};
	char problem[FRAME_FILTER_PROBLEM_MAX];
	struct frame_filter filter;

	if (frame_filter_compile(&filter, text, problem))
		return;
	check(*text || frame_filter_passes(&filter, &header, frame));
	frame_filter_passes(&filter, &header, frame);
	frame_filter_clear(&filter);
}

static void try_count(const char *text)
{
	char printed[TOPOLOGY_COUNT_TEXT_MAX];
	struct topology_count count, again;

	if (topology_parse_count(text, &count))
		return;
	check(count.minimum <= count.maximum);
	check(!topology_parse_count(topology_print_count(&count, printed), &again));
	check(count.minimum == again.minimum && count.maximum == again.maximum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	size_t length;

	if (!size)
		return 0;
	text = calloc(size, 1);
	check(text != NULL);
	memcpy(text, data + 1, size - 1);
	length = strlen(text);
	if (data[0] % 3 == 0)
		try_pattern(text, (const char *)data + 1 + length, size - 1 - length);
	else if (data[0] % 3 == 1)
		try_filter(text, data + 1 + length, size - 1 - length);
	else
		try_count(text);
	free(text);
	return 0;
}
