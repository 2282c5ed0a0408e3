/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/template.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <xxhash.h>

#include "core/host.h"
#include "core/platform.h"
#include "core/state.h"
#include "core/vcpu.h"
#include "netlab/agent.h"
#include "netlab/guest.h"
#include "netlab/image.h"
#include "netlab/template_internal.h"
#include "netlab/version.h"

struct template
{
	struct state state;
	size_t machine_at; /* Where in it the greeting and the machine begin. */
	uint32_t nics;
	int memory_fd;
};

/* The key. */

static void add_text(XXH3_state_t *hash, const char *text)
{
	XXH3_128bits_update(hash, text, strlen(text) + 1);
}

/* A file's bytes: its name and times say nothing about them. */
static int add_file(XXH3_state_t *hash, const char *path, struct error *error)
{
	struct stat status;
	void *bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0) {
		int result = error_set(error, ERROR_HOST, errno, "cannot read %s: %s", path, strerror(errno));

		if (fd >= 0)
			close(fd);
		return result;
	}
	add_text(hash, "file");
	XXH3_128bits_update(hash, &status.st_size, sizeof(status.st_size));
	bytes = status.st_size > 0 ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0) :
				     MAP_FAILED;
	close(fd);
	if (bytes == MAP_FAILED)
		return status.st_size == 0 ?
			       0 :
			       error_set(error, ERROR_HOST, errno, "cannot read %s: %s", path, strerror(errno));
	XXH3_128bits_update(hash, bytes, (size_t)status.st_size);
	munmap(bytes, (size_t)status.st_size);
	return 0;
}

static int add_image(XXH3_state_t *hash, const struct image *image, struct error *error)
{
	int result = add_file(hash, image->kernel, error);

	for (size_t i = 0; result == 0 && i < image->initramfs_count; i++)
		result = add_file(hash, image->initramfs[i], error);
	if (result == 0 && image->disk)
		result = add_file(hash, image->disk, error);
	return result;
}

/* Processors of one machine need not be alike, so it is always the same one that is asked. */
static void pin(cpu_set_t *before)
{
	cpu_set_t first;

	CPU_ZERO(before);
	if (sched_getaffinity(0, sizeof(*before), before) < 0)
		return;
	CPU_ZERO(&first);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, before)) {
			CPU_SET(cpu, &first);
			break;
		}
	}
	sched_setaffinity(0, sizeof(first), &first);
}

/* Leaves that guests of a pagetable-based KVM see as they are.  Not 1, which has the number of the processor this runs
 * on; KVM's has the rest of it. */
static void add_native(XXH3_state_t *hash)
{
	static const unsigned int leaves[] = {0, 2, 4, 5, 7, 0xd};

	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		unsigned int native[4] = {0};

		__get_cpuid_count(leaves[i], 0, &native[0], &native[1], &native[2], &native[3]);
		XXH3_128bits_update(hash, native, sizeof(native));
	}
}

/* What the guest is told of its processors, and what it sees whatever it is told (core/host.c): a guest that has looked
 * at its processor must not find itself on another. */
static int add_processor(XXH3_state_t *hash, const struct guest_options *options, struct error *error)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + VCPU_CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	cpu_set_t before;
	int result;

	if (!cpuid)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	pin(&before);
	result = vcpu_describe(options->kvm_fd, options->host, 0, options->cpus, cpuid);
	if (result < 0)
		error_set(error, ERROR_HOST, -result, "KVM does not tell what guests see of a processor");
	else
		XXH3_128bits_update(hash, cpuid->entries, cpuid->nent * sizeof(cpuid->entries[0]));
	free(cpuid);
	if (options->host->backend == HOST_PAGETABLE)
		add_native(hash);
	sched_setaffinity(0, sizeof(before), &before);
	return result;
}

static void add_machine(XXH3_state_t *hash, const struct guest_options *options)
{
	const uint64_t numbers[] = {STATE_VERSION, PLATFORM_VERSION, options->memory, options->cpus,
				    (uint64_t)options->offload_nics << 32 | options->nics};
	char cmdline[GUEST_CMDLINE_MAX];
	struct utsname kernel;

	XXH3_128bits_update(hash, numbers, sizeof(numbers));
	guest_cmdline(options, cmdline);
	add_text(hash, cmdline);
	add_text(hash, options->host->cmdline);
	add_text(hash, options->host->backend_name);
	add_text(hash, NETLAB_VERSION);
	uname(&kernel);
	add_text(hash, kernel.release);
	add_text(hash, kernel.version);
}

/* Writes a key out, and frees its hash. */
static void finish_key(XXH3_state_t *hash, char key[TEMPLATE_KEY_SIZE])
{
	XXH128_canonical_t digest;

	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(hash));
	XXH3_freeState(hash);
	for (size_t i = 0; i < sizeof(digest.digest); i++)
		snprintf(key + 2 * i, 3, "%02x", digest.digest[i]);
}

int template_key(const struct guest_options *options, char key[TEMPLATE_KEY_SIZE], struct error *error)
{
	XXH3_state_t *hash = XXH3_createState();
	int result;

	if (!hash)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	XXH3_128bits_reset(hash);
	add_machine(hash, options);
	result = add_image(hash, options->image, error);
	if (result == 0)
		result = add_processor(hash, options, error);
	finish_key(hash, key);
	return result;
}

int template_processor_key(const struct guest_options *options, char key[TEMPLATE_KEY_SIZE], struct error *error)
{
	XXH3_state_t *hash = XXH3_createState();
	int result;

	if (!hash)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	XXH3_128bits_reset(hash);
	add_text(hash, options->host->backend_name);
	result = add_processor(hash, options, error);
	finish_key(hash, key);
	return result;
}

/* Opening and starting. */

static int open_files(struct template *template, int folder, uint64_t memory, struct error *error)
{
	struct stat status;
	int result;

	template->memory_fd = openat(folder, "memory", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (template->memory_fd < 0)
		return error_set(error, ERROR_FAILED, errno, "its memory cannot be opened: %s", strerror(errno));
	/* Nothing of it is read before a guest asks for it, so it is its size that tells. */
	if (fstat(template->memory_fd, &status) < 0 || (uint64_t)status.st_size != memory)
		return error_set(error, ERROR_FAILED, EBADMSG, "its memory has another size");
	result = state_read(&template->state, folder, "state", error);
	state_get(&template->state, TEMPLATE_TAG_NICS, &template->nics, sizeof(template->nics));
	template->machine_at = template->state.at;
	return result;
}

struct template *template_open(const char *key, uint64_t memory, struct error *error)
{
	struct template *template = calloc(1, sizeof(*template));
	struct error reason = {.class = ERROR_NONE};
	int templates = template ? template_folder(error) : -ENOMEM;
	int folder = -1, result = -ENOMEM;

	if (!template)
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	if (templates >= 0)
		folder = openat(templates, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder >= 0) {
		template->memory_fd = -1;
		result = open_files(template, folder, memory, &reason);
		if (result == 0)
			futimens(folder, NULL); /* Its time is when it was used last. */
		else
			error_set(error, ERROR_FAILED, -result, "the template %s is of no use: %s", key, reason.text);
		close(folder);
	} else if (templates >= 0) {
		error_set(error, ERROR_NONE, ENOENT, "there is no template %s", key);
	}
	if (templates >= 0)
		close(templates);
	if (result == 0)
		return template;
	if (folder >= 0)
		template_close(template);
	else
		free(template);
	return NULL;
}

void template_close(struct template *template)
{
	if (!template)
		return;
	if (template->memory_fd >= 0)
		close(template->memory_fd);
	state_release(&template->state);
	free(template);
}

int template_memory(const struct template *template)
{
	return template->memory_fd;
}

unsigned int template_nics(const struct template *template)
{
	return template->nics;
}

void template_mac(unsigned int index, uint8_t mac[6])
{
	/* Locally administered (IEEE Std 802-2014, 8.4). */
	const uint8_t address[6] = {0x02, 0, 0, 0, 0, (uint8_t)(index + 1)};

	memcpy(mac, address, sizeof(address));
}

int template_start(struct template *template, struct guest *guest, struct error *error)
{
	static const char going_on[] = "[netlab: goes on from a template, which this is the log of]\n";
	char greeting[TEMPLATE_GREETING_MAX + 1];
	char *log = malloc(TEMPLATE_LOG_MAX);
	size_t length, log_size;
	int result;

	if (!log)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	template->state.at = template->machine_at;
	template->state.bad = false;
	state_get_up_to(&template->state, TEMPLATE_TAG_GREETING, greeting, TEMPLATE_GREETING_MAX, &length);
	state_get_up_to(&template->state, TEMPLATE_TAG_LOG, log, TEMPLATE_LOG_MAX, &log_size);
	greeting[length] = '\0';
	result = machine_restore(guest->machine, &template->state, error);
	if (result == 0) {
		guest->ops->logged(guest->opaque, log, log_size);
		guest->ops->logged(guest->opaque, going_on, sizeof(going_on) - 1);
		machine_resume(guest->machine);
		agent_greet(guest->agent, greeting);
	}
	free(log);
	return result;
}

static void add_identity(XXH3_state_t *hash, const char *path)
{
	struct stat status = {0};

	if (stat(path, &status) < 0)
		status = (struct stat){0};
	XXH3_64bits_update(hash, &status.st_dev, sizeof(status.st_dev));
	XXH3_64bits_update(hash, &status.st_ino, sizeof(status.st_ino));
	XXH3_64bits_update(hash, &status.st_size, sizeof(status.st_size));
	XXH3_64bits_update(hash, &status.st_mtim, sizeof(status.st_mtim));
}

uint64_t template_stamp(const struct image *image)
{
	XXH3_state_t *hash = XXH3_createState();
	uint64_t stamp;

	if (!hash)
		return 0;
	XXH3_64bits_reset(hash);
	add_identity(hash, image->kernel);
	for (size_t i = 0; i < image->initramfs_count; i++)
		add_identity(hash, image->initramfs[i]);
	if (image->disk)
		add_identity(hash, image->disk);
	stamp = XXH3_64bits_digest(hash);
	XXH3_freeState(hash);
	return stamp;
}
