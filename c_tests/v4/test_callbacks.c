/* SPDX-License-Identifier: Apache-2.0 */

/* Callbacks may call any function of the library, also those that end what called them. */

#include "burst_v4.h"
#include "harness.h"

static struct shape shape_of_polling(int i)
{
    return (struct shape){.polling = (enum polling)(i % POLLING_STYLES),
                          .log2_ring_size = LOG2_EIGHT,
                          .buffer_size = BUFFER};
}

/* ---- what a callback did, and what came of it ---- */

struct deed {
    struct control *control; /* NULL: the socket stays */
    struct end *victim;
    int end_err;
    int socket_err;
    int rx_err; /* on the connection, before the deed */
};

static void commit(const struct end *end)
{
    struct deed *deed = end->context;
    memif_buffer_t buf;
    uint16_t count;

    if (deed->victim->conn == NULL)
        return;
    deed->rx_err = memif_rx_burst(end->conn, 0, &buf, 1, &count);
    deed->end_err = memif_delete(&deed->victim->conn);
    if (deed->control != NULL)
        deed->socket_err = memif_delete_socket(&deed->control->handle);
}

static void commit_once(struct end *end)
{
    commit(end);
}

static void commit_in_interrupt(struct end *end, uint16_t qid)
{
    (void)qid;
    commit(end);
}

/* ---- delete ---- */

MEMIF_TEST_LOOP(an_interface_may_be_deleted_in_its_on_connect, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.end_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;
    struct end *peer = of_master ? &pair.slave : &pair.master;

    deed.victim = end;
    end->at_connect = commit_once;
    end->context = &deed;
    pair.master.args.is_master = 1;
    pair_open_sockets(&pair, &shape);
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(deed.end_err != -1);
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(deed.rx_err, MEMIF_ERR_SUCCESS);
    ck_assert_ptr_null(end->conn);
    ck_assert_uint_eq(end->disconnects, 1);
    RUN_UNTIL(details_of(peer->conn).error[0] != '\0');
    ck_assert(!end_is_up(peer));
    end_delete(peer);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_LOOP(an_interface_may_be_deleted_in_its_on_interrupt, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.end_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;
    struct end *peer = of_master ? &pair.slave : &pair.master;

    deed.victim = end;
    end->at_interrupt = commit_in_interrupt;
    end->context = &deed;
    pair_open(&pair, &shape);
    send_packets(peer->conn, 0, 1, BUFFER, 1);
    RUN_UNTIL(deed.end_err != -1);
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    RUN_UNTIL(!end_is_up(peer));
    end_delete(peer);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_LOOP(an_interface_may_be_deleted_in_its_on_disconnect, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.end_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;
    struct end *peer = of_master ? &pair.slave : &pair.master;

    deed.victim = end;
    end->at_disconnect = commit_once;
    end->context = &deed;
    pair_open(&pair, &shape);
    end_delete(peer);
    RUN_UNTIL(end->disconnects == 1);
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(deed.rx_err, MEMIF_ERR_SUCCESS);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

/* ---- delete with the socket ---- */

MEMIF_TEST_LOOP(the_socket_may_be_deleted_in_on_connect, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.end_err = -1, .socket_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;
    struct control *control = of_master ? &pair.master_control : &pair.slave_control;

    deed.victim = end;
    deed.control = control;
    end->at_connect = commit_once;
    end->context = &deed;
    pair.master.args.is_master = 1;
    pair_open_sockets(&pair, &shape);
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    while (deed.socket_err == -1)
        (void)turn();
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(deed.socket_err, MEMIF_ERR_SUCCESS);
    control_forget(control);
    end_delete(of_master ? &pair.slave : &pair.master);
    control_close(of_master ? &pair.slave_control : &pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_LOOP(the_socket_may_be_deleted_in_on_interrupt, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.end_err = -1, .socket_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;
    struct end *peer = of_master ? &pair.slave : &pair.master;
    struct control *control = of_master ? &pair.master_control : &pair.slave_control;

    deed.victim = end;
    deed.control = control;
    end->at_interrupt = commit_in_interrupt;
    end->context = &deed;
    pair_open(&pair, &shape);
    send_packets(peer->conn, 0, 1, BUFFER, 1);
    while (deed.socket_err == -1)
        (void)turn();
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(deed.socket_err, MEMIF_ERR_SUCCESS);
    control_forget(control);
    end_delete(peer);
    control_close(of_master ? &pair.slave_control : &pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

/* The connection is not over before on_disconnect returns, so the socket is in use. */
MEMIF_TEST_LOOP(the_socket_is_in_use_in_on_disconnect, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.end_err = -1, .socket_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;
    struct end *peer = of_master ? &pair.slave : &pair.master;

    deed.victim = end;
    deed.control = of_master ? &pair.master_control : &pair.slave_control;
    end->at_disconnect = commit_once;
    end->context = &deed;
    pair_open(&pair, &shape);
    end_delete(peer);
    RUN_UNTIL(end->disconnects == 1);
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(deed.socket_err, MEMIF_ERR_INVAL_ARG);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

static void delete_socket(struct end *end)
{
    struct deed *deed = end->context;

    deed->socket_err = memif_delete_socket(&deed->control->handle);
}

MEMIF_TEST_LOOP(the_socket_is_in_use_while_its_interface_is_being_deleted, 0, 2 * POLLING_STYLES)
{
    struct deed deed = {.socket_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(_i);
    bool of_master = _i / POLLING_STYLES == 0;
    struct end *end = of_master ? &pair.master : &pair.slave;

    deed.control = of_master ? &pair.master_control : &pair.slave_control;
    end->at_disconnect = delete_socket;
    end->context = &deed;
    pair_open(&pair, &shape);
    pair_close(&pair);
    ck_assert_int_eq(deed.socket_err, MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(shared_mappings(), 0);
}

static void poll_other_socket(struct end *end, uint16_t qid)
{
    struct control *other = end->context;

    (void)qid;
    (void)memif_poll_event(other->handle, 0);
}

/* The slave's callback polls the master's socket, and the master's callback deletes the slave's. */
MEMIF_TEST(a_socket_may_be_deleted_in_a_poll_that_its_callback_made)
{
    struct deed deed = {.end_err = -1, .socket_err = -1};
    struct pair pair = {0};
    struct shape shape = shape_of_polling(LIBRARY_POLLS);

    deed.victim = &pair.slave;
    deed.control = &pair.slave_control;
    pair.master.at_interrupt = commit_in_interrupt;
    pair.master.context = &deed;
    pair.slave.at_interrupt = poll_other_socket;
    pair.slave.context = &pair.master_control;
    pair_open(&pair, &shape);
    send_packets(pair.slave.conn, 0, 1, BUFFER, 1);
    send_packets(pair.master.conn, 0, 1, BUFFER, 1);
    while (deed.socket_err == -1)
        (void)memif_poll_event(pair.slave_control.handle, 10);
    ck_assert_int_eq(deed.end_err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(deed.socket_err, MEMIF_ERR_SUCCESS);
    control_forget(&pair.slave_control);
    end_delete(&pair.master);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

/* ---- create and request ---- */

static struct end latecomer;
static int latecomer_err;

static void come_late(struct control *control)
{
    if (control->log.watched == 0)
        latecomer_err = end_create(&latecomer, control);
}

MEMIF_TEST_LOOP(an_interface_cannot_be_created_on_a_socket_that_is_being_deleted, 0, 2)
{
    struct control control = {.polling = APPLICATION_POLLS, .at_fd_event = come_late};

    latecomer_err = -1;
    latecomer.args.is_master = _i == 0;
    control_must_open(&control, "latecomer.sock");
    control_close(&control);
    ck_assert_int_eq(latecomer_err, MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(latecomer.conn);
}

struct creation {
    struct end *end;
    const struct control *control;
    int err;
};

static void create_in_callback(struct end *end)
{
    struct creation *creation = end->context;

    if (creation->err == -1)
        creation->err = end_create(creation->end, creation->control);
}

MEMIF_TEST_LOOP(an_interface_may_be_created_in_on_connect, 0, POLLING_STYLES)
{
    struct pair pair = {0}, second = {0};
    struct shape shape = shape_of_polling(_i);
    struct creation creation = {.end = &second.slave, .control = &pair.slave_control, .err = -1};

    second.slave.args.interface_id = second.master.args.interface_id = 1;
    second.master.args.is_master = 1;
    pair.slave.at_connect = create_in_callback;
    pair.slave.context = &creation;
    pair_open_sockets(&pair, &shape);
    end_must_create(&second.master, &pair.master_control);
    pair_connect(&pair, &shape);
    ck_assert_int_eq(creation.err, MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&second.slave) && end_is_up(&second.master));
    end_delete(&second.slave);
    end_delete(&second.master);
    pair_close(&pair);
}

static void request_in_callback(struct end *end)
{
    int *err = end->context;

    if (end->disconnects == 1)
        *err = memif_request_connection(end->conn);
}

MEMIF_TEST(on_disconnect_is_too_early_for_a_request)
{
    int err = -1;
    struct pair pair = {.slave = {.at_disconnect = request_in_callback, .context = &err}};
    struct shape shape = shape_of_polling(0);

    pair_open(&pair, &shape);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert_int_eq(err, MEMIF_ERR_ALRCONN);
    end_must_create(&pair.master, &pair.master_control);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 callbacks")
