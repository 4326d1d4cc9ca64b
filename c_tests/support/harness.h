/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a test program of this folder is written:
 *
 *     #include "harness.h"
 *
 *     MEMIF_TEST(name_of_what_is_promised)
 *     {
 *         ck_assert_int_eq(...);
 *     }
 *
 *     MEMIF_TEST_MAIN("suite")
 *
 * Check can run a single test case, not a single test. Each test is therefore a case of its own, of
 * the same name, and CK_RUN_CASE selects it. `program --list` prints the names.
 */

#ifndef MEMIF_C_TESTS_HARNESS_H
#define MEMIF_C_TESTS_HARNESS_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often something is done: `usually`, a tenth of that where ThreadSanitizer watches, or what
 * the environment says. */
static inline uint32_t memif_times(const char *variable, uint32_t usually)
{
    const char *wanted = getenv(variable);

#ifdef __SANITIZE_THREAD__
    usually /= 10;
#endif
    return wanted == NULL ? usually : (uint32_t)strtoul(wanted, NULL, 10);
}

struct memif_test {
    const char *name;
    const TTest *check_test;
    int first;
    int end;
    struct memif_test *next;
};

static struct memif_test *memif_tests;

/* Tests register themselves, so that none is written and then forgotten in a table. */
static inline void memif_test_register(struct memif_test *test)
{
    struct memif_test **last = &memif_tests;

    while (*last != NULL)
        last = &(*last)->next;
    *last = test;
}

/* The test runs with _i = first, first + 1, ..., end - 1. */
#define MEMIF_TEST_LOOP(test_name, first_i, end_i)                                                 \
    static const TTest *test_name;                                                                 \
    __attribute__((constructor)) static void test_name##_register(void)                            \
    {                                                                                              \
        static struct memif_test test;                                                             \
        test = (struct memif_test){                                                                \
            .name = #test_name, .check_test = test_name, .first = (first_i), .end = (end_i)};      \
        memif_test_register(&test);                                                                \
    }                                                                                              \
    START_TEST(test_name)

#define MEMIF_TEST(test_name) MEMIF_TEST_LOOP(test_name, 0, 1)

static inline Suite *memif_test_suite(const char *suite_name)
{
    Suite *suite = suite_create(suite_name);

    for (struct memif_test *test = memif_tests; test != NULL; test = test->next) {
        TCase *single = tcase_create(test->name);

        tcase_add_loop_test(single, test->check_test, test->first, test->end);
        suite_add_tcase(suite, single);
    }
    return suite;
}

static inline int memif_test_main(const char *suite_name, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct memif_test *test = memif_tests; test != NULL; test = test->next)
            puts(test->name);
        return EXIT_SUCCESS;
    }

    SRunner *runner = srunner_create(memif_test_suite(suite_name));
    srunner_run_all(runner, CK_ENV);
    int run = srunner_ntests_run(runner);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (run == 0)
        fputs("no test ran: does CK_RUN_CASE name one of --list?\n", stderr);
    return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define MEMIF_TEST_MAIN(suite_name)                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return memif_test_main(suite_name, argc, argv);                                            \
    }

#endif
