/* SPDX-License-Identifier: Apache-2.0 */
#include "core/interrupts.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Theory of operation
 * -------------------
 * KVM takes the routing table whole, each time.  The first entries are the PIC's and IOAPIC's pins as KVM has them by
 * itself; then one entry per routed message.  KVM needs some time to switch tables, so a message that did not change
 * makes no call. */

#define PINS 24
#define PIC_PINS 16
#define MESSAGES_MAX 512

struct message {
	uint64_t address;
	uint32_t data;
	bool routed;
	bool bound;
};

struct interrupts {
	int vm_fd;
	pthread_mutex_t mutex;
	unsigned int message_count;
	struct message messages[MESSAGES_MAX];
	struct kvm_irq_routing *table; /* Room for all entries. */
};

struct interrupts *interrupts_create(int vm_fd, struct error *error)
{
	struct interrupts *interrupts = calloc(1, sizeof(*interrupts));
	size_t entries = PINS + PIC_PINS + MESSAGES_MAX;

	if (interrupts)
		interrupts->table = calloc(1,
					   sizeof(*interrupts->table) + entries * sizeof(struct kvm_irq_routing_entry));
	if (!interrupts || !interrupts->table) {
		free(interrupts);
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	interrupts->vm_fd = vm_fd;
	pthread_mutex_init(&interrupts->mutex, NULL);
	return interrupts;
}

void interrupts_destroy(struct interrupts *interrupts)
{
	if (!interrupts)
		return;
	pthread_mutex_destroy(&interrupts->mutex);
	free(interrupts->table);
	free(interrupts);
}

static int bind(struct interrupts *interrupts, unsigned int gsi, int event_fd)
{
	struct kvm_irqfd irqfd = {.fd = (__u32)event_fd, .gsi = gsi};

	return ioctl(interrupts->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int interrupts_bind_pin(struct interrupts *interrupts, unsigned int pin, int event_fd)
{
	return pin < PINS ? bind(interrupts, pin, event_fd) : -EINVAL;
}

int interrupts_add_message(struct interrupts *interrupts)
{
	int gsi = -ENOSPC;

	pthread_mutex_lock(&interrupts->mutex);
	if (interrupts->message_count < MESSAGES_MAX)
		gsi = PINS + (int)interrupts->message_count++;
	pthread_mutex_unlock(&interrupts->mutex);
	return gsi;
}

static void add_pin(struct kvm_irq_routing *table, unsigned int gsi, unsigned int chip, unsigned int pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

static int set_routing(struct interrupts *interrupts)
{
	struct kvm_irq_routing *table = interrupts->table;

	table->nr = 0;
	for (unsigned int pin = 0; pin < PINS; pin++)
		add_pin(table, pin, KVM_IRQCHIP_IOAPIC, pin);
	for (unsigned int pin = 0; pin < PIC_PINS; pin++)
		add_pin(table, pin, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8);
	for (unsigned int i = 0; i < interrupts->message_count; i++) {
		const struct message *message = &interrupts->messages[i];

		if (!message->routed)
			continue;
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = PINS + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi =
				{
					.address_lo = (__u32)message->address,
					.address_hi = (__u32)(message->address >> 32),
					.data = message->data,
				},
		};
	}
	return ioctl(interrupts->vm_fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
}

static int route(struct interrupts *interrupts, unsigned int index, const struct message *wanted, int event_fd)
{
	struct message *message = &interrupts->messages[index];
	struct message before = *message;
	int result = 0;

	if (!message->routed || message->address != wanted->address || message->data != wanted->data) {
		message->address = wanted->address;
		message->data = wanted->data;
		message->routed = true;
		result = set_routing(interrupts);
		if (result < 0) {
			*message = before; /* KVM keeps the old table. */
			return result;
		}
	}
	if (!message->bound) {
		result = bind(interrupts, PINS + index, event_fd);
		message->bound = result == 0;
	}
	return result;
}

int interrupts_route_message(struct interrupts *interrupts, int gsi, uint64_t address, uint32_t data, int event_fd)
{
	struct message wanted = {.address = address, .data = data};
	int result = -EINVAL;

	pthread_mutex_lock(&interrupts->mutex);
	if (gsi >= PINS && (unsigned int)gsi - PINS < interrupts->message_count)
		result = route(interrupts, (unsigned int)gsi - PINS, &wanted, event_fd);
	pthread_mutex_unlock(&interrupts->mutex);
	return result;
}
