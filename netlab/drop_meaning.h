/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_DROP_MEANING_H
#define NETLAB_DROP_MEANING_H 1

/* Why frames are dropped, for people.  Thread-safety: any thread. */

/* What a name of drop_reason_name() (netlab/dataplane.h) says of a frame, as a phrase that continues "it ...": "was
 * longer than the MTU of the interface it came to".  NULL for what is no reason. */
const char *drop_meaning(const char *reason);

#endif /* drop_meaning.h */
