/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_VERSION_H
#define NETLAB_VERSION_H 1

#define NETLAB_VERSION "0.1.0"

#endif /* version.h */
