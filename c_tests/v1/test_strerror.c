/* SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>

#include <libmemif.h>

#include "harness.h"

enum { FIRST_CODE = MEMIF_ERR_SUCCESS, LAST_CODE = MEMIF_ERR_POLL_CANCEL };

MEMIF_TEST_LOOP(every_code_has_a_text, FIRST_CODE, LAST_CODE + 1)
{
    const char *text = memif_strerror(_i);

    ck_assert_ptr_nonnull(text);
    ck_assert_str_ne(text, "");
}

MEMIF_TEST(different_codes_have_different_texts)
{
    for (int a = FIRST_CODE; a <= LAST_CODE; a++) {
        for (int b = a + 1; b <= LAST_CODE; b++)
            ck_assert_msg(strcmp(memif_strerror(a), memif_strerror(b)) != 0,
                          "%d and %d are both \"%s\"", a, b, memif_strerror(a));
    }
}

static const int unknown_codes[] = {-1, INT_MIN, LAST_CODE + 1, INT_MAX};

MEMIF_TEST_LOOP(an_unknown_code_has_a_text_of_its_own, 0,
                sizeof unknown_codes / sizeof unknown_codes[0])
{
    const char *text = memif_strerror(unknown_codes[_i]);

    ck_assert_ptr_nonnull(text);
    for (int code = FIRST_CODE; code <= LAST_CODE; code++)
        ck_assert_str_ne(text, memif_strerror(code));
}

MEMIF_TEST(all_unknown_codes_share_one_text)
{
    ck_assert_str_eq(memif_strerror(-1), memif_strerror(INT_MAX));
}

MEMIF_TEST_MAIN("strerror")
