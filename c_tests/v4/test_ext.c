/* SPDX-License-Identifier: Apache-2.0 */

#include <check.h>

#include "pair_v4.h"

#define INTERFACE "4.0"
#define ENTRY_PER_SLOT 1

static void pair_close_rest(struct pair *pair, struct end *staying)
{
    end_delete(staying);
    control_close(&pair->slave_control);
    control_close(&pair->master_control);
}

/* Creates both ends, which need not get a connection. */
static void pair_begin(struct pair *pair, const struct shape *shape)
{
    pair_open_sockets(pair, shape);
    shape_end(&pair->master, shape, true);
    shape_end(&pair->slave, shape, false);
    end_must_create(&pair->master, &pair->master_control);
    end_must_create(&pair->slave, &pair->slave_control);
}

static struct control alone;

static int create_alone(struct end *end)
{
    control_must_open(&alone, "alone.sock");
    return end_create(end, &alone);
}

static void close_alone(void)
{
    control_close(&alone);
}

#include "ext_room_tests.h"

MEMIF_TEST_MAIN("extensions of 4.0")
