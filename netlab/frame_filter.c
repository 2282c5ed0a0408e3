/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/frame_filter.h"

#include <nss.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* No frame is longer. */
#define SNAPSHOT_LENGTH 262144

/* From here on an offset means something the kernel knows of a packet beside its bytes (SKF_AD_OFF of linux/filter.h):
 * a file does not have it, and so such a filter would never match, and never say so. */
#define OFFSET_BEYOND_FRAMES 0xff000000u

static pthread_once_t lookups_limited = PTHREAD_ONCE_INIT;

static void limit_lookups(void)
{
	__nss_configure_lookup("hosts", "files");
}

static bool asks_for_more_than_the_frame(const struct bpf_program *program)
{
	for (unsigned int i = 0; i < program->bf_len; i++) {
		const struct bpf_insn *instruction = &program->bf_insns[i];

		if (BPF_CLASS(instruction->code) == BPF_LD && BPF_MODE(instruction->code) == BPF_ABS &&
		    instruction->k >= OFFSET_BEYOND_FRAMES)
			return true;
	}
	return false;
}

const char *frame_filter_compile(struct frame_filter *filter, const char *text, char problem[FRAME_FILTER_PROBLEM_MAX])
{
	pcap_t *format;
	const char *result = NULL;

	if (strlen(text) > FRAME_FILTER_LENGTH_MAX)
		return "is too long";
	pthread_once(&lookups_limited, limit_lookups);
	format = pcap_open_dead(DLT_EN10MB, SNAPSHOT_LENGTH);
	if (!format)
		return "cannot be compiled: out of memory";
	/* Without optimizing, which saves nothing that counts here. */
	if (pcap_compile(format, &filter->program, text, 0, PCAP_NETMASK_UNKNOWN) < 0) {
		snprintf(problem, FRAME_FILTER_PROBLEM_MAX, "cannot be compiled: %s", pcap_geterr(format));
		result = problem;
	} else if (asks_for_more_than_the_frame(&filter->program)) {
		frame_filter_clear(filter);
		result = "asks for something that is not in a frame, such as its direction";
	}
	pcap_close(format);
	return result;
}

void frame_filter_clear(struct frame_filter *filter)
{
	pcap_freecode(&filter->program);
}

bool frame_filter_passes(const struct frame_filter *filter, const struct pcap_pkthdr *header, const u_char *bytes)
{
	return pcap_offline_filter(&filter->program, header, bytes) != 0;
}
