/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stdint.h>

/* Sorts the samples and prints their percentiles in nanoseconds as members of a JSON object. */
void samples_print(uint64_t *ticks, uint32_t count, double tick_ns);

/* Sorts the values. */
double median(double *values, uint32_t count);

#endif
