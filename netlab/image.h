/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_IMAGE_H
#define NETLAB_IMAGE_H 1

/* Image
 * =====
 *
 * What a guest boots: a folder with a kernel, an initramfs and an image.yaml that names them and gives defaults.
 * An image NAME is the first of these folders that has an image.yaml:
 *
 *     $XDG_DATA_HOME/netlab-kvm/images/NAME        ($HOME/.local/share where XDG_DATA_HOME is unset)
 *     DATADIR/netlab-kvm/images/NAME               (where netlab was installed)
 *     /usr/local/share/netlab-kvm/images/NAME
 *     /usr/share/netlab-kvm/images/NAME
 *
 * image.yaml is a map of these keys; only 'kernel' is required, and unknown keys are errors:
 *
 *     description: one line for "netlab image list"
 *     kernel: vmlinux              # paths are relative to the image's folder, or absolute
 *     initramfs: rootfs.cpio       # or a list, which the guest gets one after the other
 *     disk: usr.erofs              # a file the guest finds as /dev/vda, which it can only read
 *     cmdline: "quiet"             # appended to what netlab needs itself
 *     memory: 64M                  # default for nodes; a number of bytes with K, M or G
 *     cpus: 1
 *
 * Thread-safety: any thread; a struct image is read-only once loaded. */

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

/* Defaults of an image.yaml that does not say. */
#define IMAGE_DEFAULT_MEMORY (64ull << 20)
#define IMAGE_DEFAULT_CPUS 1u
/* Largest image.yaml, in bytes, and most parts of an initramfs. */
#define IMAGE_FILE_SIZE_MAX 65536u
#define IMAGE_INITRAMFS_MAX 16u

struct image {
	char *name;
	char *folder;      /* Absolute path. */
	char *description; /* "" if none. */
	char *kernel;      /* Absolute path of a readable file. */
	char **initramfs;  /* The same. */
	size_t initramfs_count;
	char *disk;      /* Absolute path of a readable file, or NULL. */
	char *cmdline;   /* "" if none. */
	uint64_t memory; /* Bytes. */
	unsigned int cpus;
};

/* Finds and reads the image called 'name'.  Returns it, to be freed with image_free(), or NULL with 'error' set:
 * ERROR_HOST and the way out when there is none or it is broken, ERROR_USAGE when 'name' cannot be an image's name. */
struct image *image_load(const char *name, struct error *error);

void image_free(struct image *image);

/* The folders images are looked for in, the user's own first.  Returns how many of 'folders' were filled; each is
 * to be freed with free(). */
#define IMAGE_FOLDERS_MAX 4
size_t image_folders(char *folders[IMAGE_FOLDERS_MAX]);

#endif /* image.h */
