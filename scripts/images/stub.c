/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the place of a library that the guest image leaves out.
 *
 * scripts/image-build compiles this once for each library in a recipe's "stubs", with STUB_LIBRARY its name,
 * and a generated file that makes every function the tools import a jump to netlab_stub_called(). */
#include <string.h>
#include <unistd.h>

__attribute__((visibility("hidden"), noreturn)) void netlab_stub_called(void);

void netlab_stub_called(void)
{
	static const char text[] = "this needs " STUB_LIBRARY ", which the guest image leaves out\n";

	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(126);
	_exit(126);
}
