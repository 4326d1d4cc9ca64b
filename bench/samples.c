/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

void samples_print(uint64_t *ticks, uint32_t count, double tick_ns)
{
    static const struct {
        const char *name;
        double share;
    } percentiles[] = {{"median", 0.5}, {"p99", 0.99}, {"p999", 0.999}};

    qsort(ticks, count, sizeof(*ticks), compare);
    printf("\"samples\": %u, \"min\": %.0f", count, (double)ticks[0] * tick_ns);
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
        uint32_t at = (uint32_t)(percentiles[i].share * (count - 1));
        printf(", \"%s\": %.0f", percentiles[i].name, (double)ticks[at] * tick_ns);
    }
}
