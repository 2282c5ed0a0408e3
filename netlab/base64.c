/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *data, size_t size, char *text)
{
	for (; size >= 3; size -= 3, data += 3, text += 4) {
		uint32_t bits = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];

		text[0] = alphabet[bits >> 18];
		text[1] = alphabet[bits >> 12 & 63];
		text[2] = alphabet[bits >> 6 & 63];
		text[3] = alphabet[bits & 63];
	}
	if (size > 0) {
		uint32_t bits = (uint32_t)data[0] << 16 | (size == 2 ? (uint32_t)data[1] << 8 : 0);

		text[0] = alphabet[bits >> 18];
		text[1] = alphabet[bits >> 12 & 63];
		text[2] = size == 2 ? alphabet[bits >> 6 & 63] : '=';
		text[3] = '=';
	}
}

static int value_of(char character)
{
	if (character >= 'A' && character <= 'Z')
		return character - 'A';
	if (character >= 'a' && character <= 'z')
		return character - 'a' + 26;
	if (character >= '0' && character <= '9')
		return character - '0' + 52;
	if (character == '+')
		return 62;
	return character == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, size_t length, uint8_t *data)
{
	size_t padding = 0;
	uint8_t *to = data;

	if (length % 4 != 0)
		return -1;
	if (length > 0)
		padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;

	for (size_t i = 0; i < length; i += 4) {
		size_t digits = i + 4 == length ? 4 - padding : 4;
		uint32_t bits = 0;

		for (size_t j = 0; j < 4; j++) {
			int value = j < digits ? value_of(text[i + j]) : 0;

			if (value < 0)
				return -1;
			bits = bits << 6 | (uint32_t)value;
		}
		/* Bits that no byte comes from must be zero, or two texts would mean the same. */
		if ((digits == 2 && bits & 0xffff) || (digits == 3 && bits & 0xff))
			return -1;
		*to++ = (uint8_t)(bits >> 16);
		if (digits > 2)
			*to++ = (uint8_t)(bits >> 8);
		if (digits > 3)
			*to++ = (uint8_t)bits;
	}
	return to - data;
}
