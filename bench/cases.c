/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include "clock.h"
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW_NS 1000000u

static void parse_one(const char *text, struct bench_case *c)
{
    char payload[8];
    if (sscanf(text, "%hu:%hu:%7[a-z]", &c->size, &c->burst, payload) != 3 ||
        c->size < STAMP_MIN_SIZE || c->size > CASE_MAX_SIZE || c->burst < 1 ||
        c->burst > CASE_MAX_BURST ||
        (strcmp(payload, "copied") != 0 && strcmp(payload, "head") != 0)) {
        fprintf(stderr, "case %s: expected SIZE:BURST:head|copied, sizes %d to %d, bursts to %d\n",
                text, STAMP_MIN_SIZE, CASE_MAX_SIZE, CASE_MAX_BURST);
        exit(EXIT_FAILURE);
    }
    c->copy = strcmp(payload, "copied") == 0;
}

void cases_parse(const char *text, struct case_list *list)
{
    char *copy = strdup(text);
    char *rest = NULL;

    list->count = 0;
    for (char *one = strtok_r(copy, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        if (list->count == CASE_MAX) {
            fprintf(stderr, "more than %d cases\n", CASE_MAX);
            exit(EXIT_FAILURE);
        }
        parse_one(one, &list->cases[list->count++]);
    }
    free(copy);
}

bool stamp_surprise(struct stamp_check *check, uint64_t stamp)
{
    bool other_case = stamp_case(stamp) != stamp_case(check->expected);

    if (stamp < check->expected) {
        check->disordered++;
        return false;
    }
    if (other_case)
        check->expected = stamp_make(stamp_case(stamp), 0);
    check->lost += stamp - check->expected;
    check->expected = stamp + 1;
    return other_case;
}

void meter_begin(struct meter *meter, uint64_t now)
{
    *meter = (struct meter){.begun = now, .running = true};
}

static void open_window(struct meter *meter, uint64_t now)
{
    meter->window_start = now;
    meter->at_window_start = meter->packets;
}

static void close_window(struct meter *meter, uint64_t now)
{
    uint64_t ns = now - meter->window_start;

    if (ns < WINDOW_NS || meter->window_count == METER_MAX_WINDOWS)
        return;
    meter->windows[meter->window_count++] =
        (double)(meter->packets - meter->at_window_start) * 1e9 / (double)ns;
    open_window(meter, now);
}

static void finish(struct meter *meter, uint64_t ns)
{
    meter->mean = (double)(meter->packets - meter->at_start) * 1e9 / (double)ns;
    meter->rate =
        meter->window_count > 0 ? median(meter->windows, meter->window_count) : meter->mean;
    meter->share = (double)(clock_cpu_ns() - meter->start_cpu) / (double)ns;
    meter->done = true;
}

void meter_look(struct meter *meter, const struct meter_times *times, uint64_t now)
{
    if (!meter->running || meter->done)
        return;
    if (meter->packets == 0)
        meter->begun = now;
    if (!meter->counting) {
        if (now - meter->begun >= (uint64_t)times->warm_ms * 1000000u) {
            meter->counting = true;
            meter->start = now;
            meter->start_cpu = clock_cpu_ns();
            meter->at_start = meter->packets;
            open_window(meter, now);
        }
        return;
    }
    close_window(meter, now);
    if (now - meter->start >= (uint64_t)times->count_ms * 1000000u)
        finish(meter, now - meter->start);
}

void meter_end(struct meter *meter, uint64_t now)
{
    if (meter->counting && !meter->done && now > meter->start)
        finish(meter, now - meter->start);
}

void meter_print(const struct meter *meter, const struct bench_case *c)
{
    printf("\"size\": %u, \"burst\": %u, \"payload\": \"%s\", \"rate\": %.0f, "
           "\"mean\": %.0f, \"share\": %.3f",
           c->size, c->burst, c->copy ? "copied" : "head", meter->rate, meter->mean, meter->share);
}
