/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of faults.c, as far as both APIs have the same calls for it. */
#include "faults_ends.h"

#include <string.h>

memif_conn_handle_t conns[ENDS];
bool is_up[ENDS];
const int ends_no_memory = MEMIF_ERR_NOMEM, ends_no_fds = MEMIF_ERR_PROC_FILE_LIMIT;

int on_end_down(memif_conn_handle_t conn, void *up)
{
    (void)conn;
    *(bool *)up = false;
    return 0;
}

int on_end_interrupt(memif_conn_handle_t conn, void *up, uint16_t qid)
{
    (void)conn;
    (void)up;
    (void)qid;
    return 0;
}

int ends_delete(enum end end)
{
    return memif_delete(&conns[end]);
}

bool ends_exist(enum end end)
{
    return conns[end] != NULL;
}

bool ends_is_up(enum end end)
{
    return is_up[end];
}

bool ends_are_up(void)
{
    return is_up[MASTER] && is_up[SLAVE];
}

static int carry(memif_conn_handle_t from, memif_conn_handle_t to)
{
    memif_buffer_t out, in;
    uint16_t count = 0;
    int err = memif_buffer_alloc(from, 1, &out, 1, &count, 64);

    if (err != MEMIF_ERR_SUCCESS)
        return err;
    memset(out.data, 0x5a, 64);
    set_length(&out, 64);
    err = memif_tx_burst(from, 1, &out, 1, &count);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    err = memif_rx_burst(to, 1, &in, 1, &count);
    if (err != MEMIF_ERR_SUCCESS || count != 1)
        return err != MEMIF_ERR_SUCCESS ? err : MEMIF_ERR_NOBUF;
    return give_back(to, &in);
}

int ends_exchange(void)
{
    int err = carry(conns[MASTER], conns[SLAVE]);
    return err != MEMIF_ERR_SUCCESS ? err : carry(conns[SLAVE], conns[MASTER]);
}

int ends_set_polling(bool polling)
{
    memif_rx_mode_t mode = polling ? MEMIF_RX_MODE_POLLING : MEMIF_RX_MODE_INTERRUPT;
    int err = memif_set_rx_mode(conns[MASTER], mode, 1);

    return err != MEMIF_ERR_SUCCESS ? err : memif_set_rx_mode(conns[SLAVE], mode, 1);
}

const char *ends_error(int err)
{
    return memif_strerror(err);
}
