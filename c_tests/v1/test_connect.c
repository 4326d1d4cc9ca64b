/* SPDX-License-Identifier: Apache-2.0 */

/* Who may connect to whom, and when. */

#include "harness.h"
#include "pair_v1.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- who may connect ---- */

/* Announced: timer, listener, and the two channels, which are taken back when the slave was
 * refused. */
static bool was_refused(void)
{
    return fd_log.count >= 6 && fd_log.watched == 2;
}

struct secrets {
    const char *master;
    const char *slave;
    bool connects;
};

static const struct secrets secret_cases[] = {
    {"secret", "secret", true},
    {"abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx", true},
    {"secret", "Secret", false},
    {"secret", "secrets", false},
    {"secrets", "secret", false},
    {"secret", "", false},
    {"abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwX", false},
    {"abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvw", false},
};

static void set_secret(struct end *end, const char *secret)
{
    memcpy(end->args.secret, secret, strlen(secret));
}

static void expect_refusal(const struct pair *pair)
{
    RUN_UNTIL(was_refused() || pair->master.connects > 0 || pair->slave.connects > 0);
    ck_assert_uint_eq(pair->master.connects, 0);
    ck_assert_uint_eq(pair->slave.connects, 0);
}

MEMIF_TEST_LOOP(a_slave_needs_the_right_secret, 0, sizeof(secret_cases) / sizeof(*secret_cases))
{
    const struct secrets *secrets = &secret_cases[_i];
    struct pair pair = {.master.args.is_master = 1};

    set_secret(&pair.master, secrets->master);
    set_secret(&pair.slave, secrets->slave);
    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "pair.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
    if (secrets->connects)
        RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    else
        expect_refusal(&pair);
    stop();
    ck_assert_uint_eq(pair.slave.disconnects, pair.slave.connects);
    ck_assert_uint_eq(pair.master.disconnects, pair.master.connects);
}

enum { MODES = 3 };

MEMIF_TEST_LOOP(ends_of_the_same_mode_connect_and_others_do_not, 0, MODES *MODES)
{
    struct pair pair = {.master.args.is_master = 1};

    pair.master.args.mode = (memif_interface_mode_t)(_i / MODES);
    pair.slave.args.mode = (memif_interface_mode_t)(_i % MODES);
    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "pair.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
    if (_i / MODES == _i % MODES)
        RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    else
        expect_refusal(&pair);
    stop();
}

MEMIF_TEST(a_slave_with_an_unknown_id_is_refused)
{
    struct pair pair = {.master.args = {.is_master = 1, .interface_id = 1},
                        .slave.args.interface_id = 2};

    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "pair.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
    expect_refusal(&pair);
    stop();
}

MEMIF_TEST(a_second_slave_of_the_same_id_is_refused)
{
    struct pair pair = {0};
    struct end second = {0};

    pair_open(&pair, &(struct shape){.polling = APPLICATION_POLLS, .log2_ring_size = 2});
    size_t watched = fd_log.watched;
    size_t count = fd_log.count;
    ck_assert_int_eq(end_create(&second, "pair.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(fd_log.count >= count + 4 && fd_log.watched == watched);
    ck_assert_uint_eq(second.connects, 0);
    ck_assert_uint_eq(pair.slave.disconnects, 0);
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    expect_packets(pair.master.conn, 0, 1, 64, 1);
    stop();
}

MEMIF_TEST(names_of_32_bytes_are_told_whole)
{
    struct pair pair = {0};
    const char if_name[] = "interface name with 32 bytes....";
    const char inst_name[] = "instance name with 32 bytes.....";

    memcpy(pair.slave.args.interface_name, if_name, 32);
    memcpy(pair.slave.args.instance_name, inst_name, 32);
    pair_open(&pair, &small_rings);
    memif_details_t details = details_of(pair.master.conn);
    ck_assert_str_eq((char *)details.remote_if_name, if_name);
    ck_assert_str_eq((char *)details.remote_inst_name, inst_name);
    details = details_of(pair.slave.conn);
    ck_assert_str_eq((char *)details.if_name, if_name);
    ck_assert_str_eq((char *)details.inst_name, inst_name);
    pair_close(&pair);
}

/* ---- failed connects, and later ones ---- */

MEMIF_TEST(a_slave_finds_a_master_that_comes_later)
{
    struct pair pair = {.master.args.is_master = 1};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.slave, "late.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(turn(-1), MEMIF_ERR_SUCCESS); /* its first attempt */
    ck_assert_int_eq(end_create(&pair.master, "late.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    stop();
}

MEMIF_TEST(a_slave_finds_a_master_again_that_was_created_anew)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    end_delete(&pair.master);
    ck_assert_int_eq(end_create(&pair.master, "pair.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    ck_assert_uint_eq(pair.slave.connects, 2);
    send_packets(pair.slave.conn, 0, 3, 64, 1);
    expect_packets(pair.master.conn, 0, 3, 64, 1);
    send_packets(pair.master.conn, 0, 3, 64, 9);
    expect_packets(pair.slave.conn, 0, 3, 64, 9);
    pair_close(&pair);
}

MEMIF_TEST(a_master_takes_one_slave_after_another)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    for (unsigned i = 1; i < 50; i++) {
        end_delete(&pair.slave);
        RUN_UNTIL(pair.master.disconnects == i);
        ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
        RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
        send_packets(pair.slave.conn, 0, 3, 64, i);
        expect_packets(pair.master.conn, 0, 3, 64, i);
    }
    pair_close(&pair);
}

MEMIF_TEST(attempts_to_reach_nobody_leave_no_descriptor_open)
{
    struct end slave = {0};

    start(APPLICATION_POLLS, ANY_VERSION);
    size_t before = open_fds();
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(end_create(&slave, "nobody.sock"), MEMIF_ERR_SUCCESS);
        ck_assert_int_eq(turn(-1), MEMIF_ERR_SUCCESS); /* the attempt */
        end_delete(&slave);
    }
    ck_assert_uint_eq(open_fds(), before);
    stop();
}

MEMIF_TEST(refused_attempts_leave_no_descriptor_open)
{
    struct pair pair = {.master.args.is_master = 1};

    pair.slave.args.mode = MEMIF_INTERFACE_MODE_IP;
    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "pair.sock"), MEMIF_ERR_SUCCESS);
    size_t before = open_fds();
    for (int i = 0; i < 50; i++) {
        size_t count = fd_log.count;
        ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
        RUN_UNTIL(fd_log.count == count + 4 && fd_log.watched == 2);
        end_delete(&pair.slave);
    }
    ck_assert_uint_eq(open_fds(), before);
    ck_assert_uint_eq(shared_mappings(), 0);
    stop();
}

MEMIF_TEST(failed_creations_leave_no_descriptor_open)
{
    struct end end = {.args.is_master = 1};

    start(LIBRARY_POLLS, ANY_VERSION);
    size_t before = open_fds();
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(end_create(&end, "missing/a.sock"), MEMIF_ERR_NO_FILE);
    ck_assert_uint_eq(open_fds(), before);
    stop();
}

MEMIF_TEST_MAIN("connect")
