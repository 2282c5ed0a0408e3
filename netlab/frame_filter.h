/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FRAME_FILTER_H
#define NETLAB_FRAME_FILTER_H 1

/* Filters of frames
 * =================
 *
 * libpcap's language, pcap-filter(7), for Ethernet frames as captures have them.  What is not in the frame itself, such
 * as "inbound", cannot be asked for.  Names of hosts are looked up in /etc/hosts alone, so that compiling never waits for
 * a network: for the whole process, once something was compiled.
 *
 * Thread-safety: frame_filter_compile() any thread; a filter belongs to one. */

#include <stdbool.h>
#include <stddef.h>

#include <pcap/pcap.h>

#define FRAME_FILTER_LENGTH_MAX 1024

/* All zero: no filter. */
struct frame_filter {
	struct bpf_program program;
};

/* Compiles 'text'; "" is a filter that all frames pass.  Returns NULL, and then the filter is to be freed with
 * frame_filter_clear(); or what is wrong with it, as a phrase that continues 'filter "..." ...', which may be in
 * 'problem'. */
#define FRAME_FILTER_PROBLEM_MAX (PCAP_ERRBUF_SIZE + 32)
const char *frame_filter_compile(struct frame_filter *filter, const char *text, char problem[FRAME_FILTER_PROBLEM_MAX]);
/* Makes it none; it may be none before. */
void frame_filter_clear(struct frame_filter *filter);

static inline bool frame_filter_is_given(const struct frame_filter *filter)
{
	return filter->program.bf_insns != NULL;
}

/* Whether a frame, as libpcap reads it, passes. */
bool frame_filter_passes(const struct frame_filter *filter, const struct pcap_pkthdr *header, const u_char *bytes);

#endif /* frame_filter.h */
