/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "netlab/allocate.h"
#include "netlab/plan_internal.h"

/* What differs in what is captured of a lab: some of the lab's file changes while it is written, and the rest is
 * settled when the capture begins. */

static const char *files_text(const struct topology_capture *capture)
{
	if (capture->has_lab_file)
		return capture->has_port_files ? "lab and ports" : "lab";
	return capture->has_port_files ? "ports" : "off";
}

static const char *snap_len_text(uint32_t snap_len, char text[32])
{
	if (!snap_len)
		return "whole frames";
	snprintf(text, 32, "%u", snap_len);
	return text;
}

static void compare_settled(struct difference *difference, const struct topology_capture *from,
			    const struct topology_capture *to)
{
	char before[32], after[32];

	if (from->has_lab_file != to->has_lab_file || from->has_port_files != to->has_port_files)
		plan_note(difference, "files %s -> %s", files_text(from), files_text(to));
	if (from->snap_len != to->snap_len)
		plan_note(difference, "snaplen %s -> %s", snap_len_text(from->snap_len, before),
			  snap_len_text(to->snap_len, after));
	if (from->is_clean != to->is_clean)
		plan_note(difference, "clean %s", to->is_clean ? "on" : "off");
	if (from->recorder_size != to->recorder_size)
		plan_note(difference, "recorder %lluM -> %lluM", (unsigned long long)from->recorder_size >> 20,
			  (unsigned long long)to->recorder_size >> 20);
}

static void note_rotation(struct difference *difference, const struct topology_capture *capture)
{
	char size[32] = "", time[32] = "", files[32] = "";

	if (capture->rotate_size)
		snprintf(size, sizeof(size), " at %lluM", (unsigned long long)capture->rotate_size >> 20);
	if (capture->rotate_seconds)
		snprintf(time, sizeof(time), " after %llus", (unsigned long long)capture->rotate_seconds);
	if (capture->rotate_files)
		snprintf(files, sizeof(files), " with %u files", capture->rotate_files);
	plan_note(difference, "rotates%s%s%s", *size || *time ? size : " never", time, files);
}

static void compare_changeable(struct difference *difference, const struct topology_capture *from,
			       const struct topology_capture *to)
{
	if (from->has_events != to->has_events)
		plan_note(difference, "events %s", to->has_events ? "on" : "off");
	if (from->rotate_size != to->rotate_size || from->rotate_seconds != to->rotate_seconds ||
	    from->rotate_files != to->rotate_files)
		note_rotation(difference, to);
}

void plan_capture(struct plan *plan, const struct topology *from, const struct topology *to)
{
	struct difference changeable = {.text = NULL}, settled = {.text = NULL};

	compare_changeable(&changeable, &from->capture, &to->capture);
	compare_settled(&settled, &from->capture, &to->capture);
	if (changeable.text)
		plan_add(plan, PLAN_CAPTURE, PLAN_CHANGE, allocate_copy(to->name), changeable.text);
	if (settled.text)
		plan_add(plan, PLAN_CAPTURE, PLAN_LATER, allocate_copy(to->name), settled.text);
}
