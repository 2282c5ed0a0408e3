/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_RANDOM_H
#define NETLAB_RANDOM_H 1

/* Random numbers that are the same on each machine
 * ================================================
 *
 * A number is a function of a seed and of what it is for, not of numbers that were drawn before: so the n-th frame has
 * the same fate whatever else was decided about those before it.  The generator is SplitMix64 (Steele, Lea, Flood,
 * 2014).
 *
 * Distributions are computed with nothing but additions, multiplications, divisions and square roots, which IEEE 754
 * rounds in one way only; a C library's log(3) and exp(3) differ in their last bit between versions and processors.
 *
 * Thread-safety: any thread. */

#include <stdint.h>

/* 64 random bits for the n-th thing of some kind. */
uint64_t random_bits(uint64_t seed, uint64_t n, unsigned int kind);

/* The number in the open interval from 0 to 1 that the bits are. */
double random_uniform(uint64_t bits);

/* Quantiles, for 0 < p < 1, of distributions with mean 0 and standard deviation 1, to about 9 digits. */
double random_normal(double p);
double random_pareto(double p); /* Of shape 3; never below -0.58. */

/* How likely a normal number is below x, to about 12 digits. */
double random_normal_below(double x);

/* The logarithm of x > 0, and e to the power of x from -700 to 700, to about 15 digits. */
double random_log(double x);
double random_exp(double x);
double random_square_root(double x); /* Of x >= 0. */

#endif /* random.h */
