/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/random.h"

#include <string.h>

/* Theory of operation
 * -------------------
 * random_normal() is Acklam's rational approximation; random_normal_below() is a Taylor series around 0 (Marsaglia,
 * "Evaluating the normal distribution", 2004) and, far out, a continued fraction. */

#define LN2 0.693147180559945309417232121458
#define SQRT_2PI 2.506628274631000502415765284811

uint64_t random_bits(uint64_t seed, uint64_t n, unsigned int kind)
{
	uint64_t bits = seed + (n * 16 + kind + 1) * 0x9e3779b97f4a7c15ull;

	bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
	bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
	return bits ^ bits >> 31;
}

double random_uniform(uint64_t bits)
{
	return ((double)(bits >> 11) + 0.5) / 9007199254740992.0;
}

double random_square_root(double x)
{
	double root = x > 1 ? x : 1, before;

	if (x <= 0)
		return 0;
	do { /* Newton's method comes down from above, until it stands still. */
		before = root;
		root = (root + x / root) / 2;
	} while (root < before);
	return before;
}

/* The double of these 64 bits. */
static double from_bits(uint64_t bits)
{
	double number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

double random_log(double x)
{
	double sum = 0, t, power;
	uint64_t bits;
	int exponent;

	memcpy(&bits, &x, sizeof(bits));
	exponent = (int)(bits >> 52 & 0x7ff) - 1023;
	x = from_bits((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
	if (x > 1.4142135623730951) {
		x /= 2;
		exponent++;
	}
	t = (x - 1) / (x + 1);
	power = t;
	for (int i = 1; i < 40; i += 2) {
		sum += power / i;
		power *= t * t;
	}
	return 2 * sum + exponent * LN2;
}

double random_exp(double x)
{
	int exponent = (int)(x / LN2 + (x < 0 ? -0.5 : 0.5));
	double rest = x - exponent * LN2, term = 1, sum = 1;

	for (int i = 1; i < 20; i++) {
		term *= rest / i;
		sum += term;
	}
	return sum * from_bits((uint64_t)(exponent + 1023) << 52);
}

static double density(double x)
{
	return random_exp(-x * x / 2) / SQRT_2PI;
}

double random_normal_below(double x)
{
	double term = x, sum = x, fraction;

	if (x > 30)
		return 1;
	if (x < -30)
		return 0;
	if (x < -5 || x > 5) {
		double far = x < 0 ? -x : x;

		fraction = far;
		for (int i = 60; i > 0; i--)
			fraction = far + i / fraction;
		fraction = density(far) / fraction;
		return x < 0 ? fraction : 1 - fraction;
	}
	for (int i = 3; i < 150; i += 2) {
		term *= x * x / i;
		sum += term;
	}
	return 0.5 + sum * density(x);
}

/* Acklam's, of the lower tail. */
static double tail(double p)
{
	double q = random_square_root(-2 * random_log(p));

	return (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838e+00) * q -
		  2.549732539343734e+00) *
			 q +
		 4.374664141464968e+00) *
			q +
		2.938163982698783e+00) /
	       ((((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e+00) * q +
		 3.754408661907416e+00) *
			q +
		1);
}

static double middle(double p)
{
	double q = p - 0.5, r = q * q;

	return (((((-3.969683028665376e+01 * r + 2.209460984245205e+02) * r - 2.759285104469687e+02) * r +
		  1.383577518672690e+02) *
			 r -
		 3.066479806614716e+01) *
			r +
		2.506628277459239e+00) *
	       q /
	       (((((-5.447609879822406e+01 * r + 1.615858368580409e+02) * r - 1.556989798598866e+02) * r +
		  6.680131188771972e+01) *
			 r -
		 1.328068155288572e+01) *
			r +
		1);
}

double random_normal(double p)
{
	if (p < 0.02425)
		return tail(p);
	return p > 1 - 0.02425 ? -tail(1 - p) : middle(p);
}

double random_pareto(double p)
{
	/* (1 - p)^(-1/3) has the mean 3/2 and the variance 3/4. */
	return (random_exp(-random_log(1 - p) / 3) - 1.5) / 0.866025403784438646763723170753;
}
