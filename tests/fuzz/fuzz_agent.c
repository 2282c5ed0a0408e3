/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the agent protocol. */

#include "agent_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	struct agent_target target = {.input = &input, .allowed = 4096};

	agent_opened(agent_input_create(&target), true);
	receive_greeting(&target, 1);
	agent_input_run(&target);
	agent_destroy(target.agent);
	return 0;
}
