/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/uart.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/interrupts.h"
#include "core/loop.h"
#include "core/machine.h"
#include "core/platform.h"
#include "core/state.h"

/* Theory of operation
 * -------------------
 * The transmitter is always empty (the byte is gone at once), so the one interrupt there is, "transmitter holding
 * register empty", is raised when it is enabled and after each byte, and lowered when IIR is read.
 *
 * Bytes are lost from the moment the buffer is full until it is handed over, so those lost come after those kept.
 *
 * A posted hand-over that is still to run in the control loop when the machine is gone frees the struct. */

#define BUFFER_SIZE 16384

#define TAG_UART STATE_TAG('u', 'a', 'r', 't')

struct uart_state {
	uint8_t interrupt_enable, line_control, modem_control, scratch, fifo_control;
	uint8_t divisor_low, divisor_high;
	uint8_t empty_pending;
};

struct uart {
	struct machine *machine;
	struct loop *control;
	const struct uart_ops *ops;
	void *opaque;
	int interrupt_fd;
	uint8_t interrupt_enable, line_control, modem_control, scratch, fifo_control;
	uint8_t divisor_low, divisor_high;
	bool empty_pending;
	pthread_mutex_t mutex; /* Guards what follows. */
	bool posted;
	bool orphaned; /* The machine is gone; the posted hand-over frees this. */
	size_t filled, lost;
	char buffer[BUFFER_SIZE];
};

static void uart_free(struct uart *uart)
{
	pthread_mutex_destroy(&uart->mutex);
	close(uart->interrupt_fd);
	free(uart);
}

static void hand_over(void *opaque)
{
	struct uart *uart = opaque;
	char data[BUFFER_SIZE];
	size_t size, lost;
	bool orphaned;

	pthread_mutex_lock(&uart->mutex);
	size = uart->filled;
	lost = uart->lost;
	memcpy(data, uart->buffer, size);
	uart->filled = uart->lost = 0;
	uart->posted = false;
	orphaned = uart->orphaned;
	pthread_mutex_unlock(&uart->mutex);
	if (orphaned)
		uart_free(uart);
	else
		uart->ops->output(uart->opaque, data, size, lost);
}

static void transmit(struct uart *uart, uint8_t byte)
{
	bool post = false;

	pthread_mutex_lock(&uart->mutex);
	if (uart->filled < BUFFER_SIZE)
		uart->buffer[uart->filled++] = (char)byte;
	else
		uart->lost++;
	if (!uart->posted)
		uart->posted = post = true;
	pthread_mutex_unlock(&uart->mutex);
	if (post)
		loop_post(uart->control, hand_over, uart);
}

static void raise_empty(struct uart *uart)
{
	if (!(uart->interrupt_enable & UART_IER_THRI))
		return;
	uart->empty_pending = true;
	eventfd_write(uart->interrupt_fd, 1);
}

/* In loopback mode the modem outputs appear as inputs, by which drivers find a UART. */
static uint8_t modem_status(const struct uart *uart)
{
	uint8_t control = uart->modem_control;

	if (!(control & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	return (uint8_t)((control & UART_MCR_RTS ? UART_MSR_CTS : 0) | (control & UART_MCR_DTR ? UART_MSR_DSR : 0) |
			 (control & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (control & UART_MCR_OUT2 ? UART_MSR_DCD : 0));
}

static uint8_t interrupt_identity(struct uart *uart)
{
	uint8_t fifos = uart->fifo_control & UART_FCR_ENABLE_FIFO ? 0xc0 : 0;
	bool pending = uart->empty_pending;

	uart->empty_pending = false;
	return fifos | (pending ? UART_IIR_THRI : UART_IIR_NO_INT);
}

static uint8_t uart_read(struct uart *uart, unsigned int offset)
{
	bool divisor = uart->line_control & UART_LCR_DLAB;

	switch (offset) {
	case UART_RX:
		return divisor ? uart->divisor_low : 0;
	case UART_IER:
		return divisor ? uart->divisor_high : uart->interrupt_enable;
	case UART_IIR:
		return interrupt_identity(uart);
	case UART_LCR:
		return uart->line_control;
	case UART_MCR:
		return uart->modem_control;
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE;
	case UART_MSR:
		return modem_status(uart);
	default:
		return uart->scratch;
	}
}

static void uart_write(struct uart *uart, unsigned int offset, uint8_t value)
{
	bool divisor = uart->line_control & UART_LCR_DLAB;

	switch (offset) {
	case UART_TX:
		if (divisor) {
			uart->divisor_low = value;
		} else if (!(uart->modem_control & UART_MCR_LOOP)) {
			transmit(uart, value);
			raise_empty(uart);
		}
		break;
	case UART_IER:
		if (divisor) {
			uart->divisor_high = value;
		} else {
			uart->interrupt_enable = value & 0x0f;
			raise_empty(uart);
		}
		break;
	case UART_FCR:
		uart->fifo_control = value;
		break;
	case UART_LCR:
		uart->line_control = value;
		break;
	case UART_MCR:
		uart->modem_control = value & 0x1f;
		break;
	case UART_SCR:
		uart->scratch = value;
		break;
	}
}

static void access_port(void *opaque, unsigned int offset, void *data, unsigned int size, bool is_write)
{
	struct uart *uart = opaque;
	uint8_t value;

	if (is_write) {
		memcpy(&value, data, 1);
		uart_write(uart, offset, value);
		return;
	}
	memset(data, 0xff, size);
	value = uart_read(uart, offset);
	memcpy(data, &value, 1);
}

static void destroy(void *opaque)
{
	struct uart *uart = opaque;
	bool posted;

	pthread_mutex_lock(&uart->mutex);
	posted = uart->posted;
	uart->orphaned = true;
	pthread_mutex_unlock(&uart->mutex);
	if (!posted)
		uart_free(uart);
}

/* What the guest has written has been handed over, or will be: the log is the host's, and not part of the state. */
static void save(void *opaque, struct state *state)
{
	const struct uart *uart = opaque;
	const struct uart_state saved = {
		.interrupt_enable = uart->interrupt_enable,
		.line_control = uart->line_control,
		.modem_control = uart->modem_control,
		.scratch = uart->scratch,
		.fifo_control = uart->fifo_control,
		.divisor_low = uart->divisor_low,
		.divisor_high = uart->divisor_high,
		.empty_pending = uart->empty_pending,
	};

	state_put(state, TAG_UART, &saved, sizeof(saved));
}

static void restore(void *opaque, struct state *state)
{
	struct uart *uart = opaque;
	struct uart_state saved;

	if (!state_get(state, TAG_UART, &saved, sizeof(saved)))
		return;
	uart->interrupt_enable = saved.interrupt_enable & 0x0f;
	uart->line_control = saved.line_control;
	uart->modem_control = saved.modem_control & 0x1f;
	uart->scratch = saved.scratch;
	uart->fifo_control = saved.fifo_control;
	uart->divisor_low = saved.divisor_low;
	uart->divisor_high = saved.divisor_high;
	/* The edge may have been on its way to the irqchip; one too many finds nothing in IIR. */
	if (saved.empty_pending)
		raise_empty(uart);
}

int uart_create(struct machine *machine, const struct uart_ops *ops, void *opaque, struct error *error)
{
	struct uart *uart = calloc(1, sizeof(*uart));
	const struct machine_port_handler handler = {.base = PLATFORM_PORT_UART,
						     .count = 8,
						     .access = access_port,
						     .destroy = destroy,
						     .save = save,
						     .restore = restore,
						     .opaque = uart};
	int result;

	if (!uart)
		return error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
	uart->machine = machine;
	uart->control = machine_control(machine);
	uart->ops = ops;
	uart->opaque = opaque;
	uart->divisor_low = 1;
	pthread_mutex_init(&uart->mutex, NULL);
	uart->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (uart->interrupt_fd < 0) {
		result = -errno;
		free(uart);
		return error_set(error, ERROR_FAILED, -result, "cannot make an eventfd: %s", strerror(-result));
	}
	result = interrupts_bind_pin(machine_interrupts(machine), PLATFORM_IRQ_UART, uart->interrupt_fd);
	if (result == 0)
		result = machine_add_ports(machine, &handler);
	if (result < 0) {
		uart_free(uart);
		return error_set(error, ERROR_FAILED, -result, "cannot make a UART: %s", strerror(-result));
	}
	return 0;
}
