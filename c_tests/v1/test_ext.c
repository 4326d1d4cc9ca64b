/* SPDX-License-Identifier: Apache-2.0 */

#include <check.h>

#include "pair_v1.h"

#define INTERFACE "1.0"
#define ENTRY_PER_SLOT 0

static void pair_close_rest(struct pair *pair, struct end *staying)
{
    (void)pair;
    end_delete(staying);
    stop();
}

/* Creates both ends, which need not get a connection. */
static void pair_begin(struct pair *pair, const struct shape *shape)
{
    start(shape->polling, shape->version);
    shape_end(&pair->master, shape, true);
    shape_end(&pair->slave, shape, false);
    ck_assert_int_eq(end_create(&pair->master, "pair.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair->slave, "pair.sock"), MEMIF_ERR_SUCCESS);
}

static int create_alone(struct end *end)
{
    start(LIBRARY_POLLS, ANY_VERSION);
    return end_create(end, "alone.sock");
}

static void close_alone(void)
{
    stop();
}

#include "ext_room_tests.h"

MEMIF_TEST_MAIN("extensions of 1.0")
