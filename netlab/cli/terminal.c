/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

void terminal_make_raw(struct terminal *terminal)
{
	struct termios raw;

	terminal->is_raw = tcgetattr(STDIN_FILENO, &terminal->before) == 0;
	if (!terminal->is_raw)
		return;
	raw = terminal->before;
	cfmakeraw(&raw);
	terminal->is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

void terminal_restore(struct terminal *terminal)
{
	if (terminal->is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	terminal->is_raw = false;
}

bool terminal_size(int *rows, int *columns)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col) {
		if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col) {
			*rows = 24;
			*columns = 80;
			return false;
		}
	}
	*rows = size.ws_row;
	*columns = size.ws_col;
	return true;
}
