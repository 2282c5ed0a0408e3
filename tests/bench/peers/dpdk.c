/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK: the script measures. */
#include "ends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static bool measure_dpdk_once(uint32_t size, double *rate, struct outcome *outcome)
{
	char command[128], line[128] = "";
	FILE *output;
	int status;

	snprintf(command, sizeof(command), "tests/bench/peers/dpdk %" PRIu32 " 2>/dev/null", size);
	output = popen(command, "re");
	if (!output)
		return false;
	if (fgets(line, sizeof(line), output))
		line[strcspn(line, "\n")] = '\0';
	status = pclose(output);
	if (status != 0)
		fail(outcome, WIFEXITED(status) && WEXITSTATUS(status) == 3 ? line : "run it in the source's folder");
	*rate = strtod(line, NULL);
	return status == 0;
}

void measure_dpdk(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds)
{
	(void)nanoseconds; /* Some seconds each: starting takes longer. */
	for (unsigned int i = 0; i < rounds; i++)
		if (!measure_dpdk_once(size, &outcome->rates[i], outcome))
			return;
}
