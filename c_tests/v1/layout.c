/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs built for libmemif 1.0 were compiled against: names, types, values and layouts
 * (x86-64). The promises are kept at compile time.
 */

#include <stddef.h>
#include <string.h>

#include <libmemif.h>

#include "layout.h"

/* memif.h */

VALUE(MEMIF_COOKIE, 0x3E31F10);
VALUE(MEMIF_VERSION_MAJOR, 1);
VALUE(MEMIF_VERSION_MINOR, 0);
VALUE(MEMIF_VERSION, 256);
VALUE(MEMIF_CACHELINE_SIZE, 64);

VALUE(MEMIF_MSG_TYPE_ACK, 1);
VALUE(MEMIF_MSG_TYPE_HELLO, 2);
VALUE(MEMIF_MSG_TYPE_INIT, 3);
VALUE(MEMIF_MSG_TYPE_ADD_REGION, 4);
VALUE(MEMIF_MSG_TYPE_ADD_RING, 5);
VALUE(MEMIF_MSG_TYPE_CONNECT, 6);
VALUE(MEMIF_MSG_TYPE_CONNECTED, 7);
VALUE(MEMIF_MSG_TYPE_DISCONNECT, 8);

VALUE(MEMIF_RING_S2M, 0);
VALUE(MEMIF_RING_M2S, 1);

VALUE(MEMIF_INTERFACE_MODE_ETHERNET, 0);
VALUE(MEMIF_INTERFACE_MODE_IP, 1);
VALUE(MEMIF_INTERFACE_MODE_PUNT_INJECT, 2);

VALUE(MEMIF_MSG_ADD_RING_FLAG_S2M, 1);
VALUE(MEMIF_DESC_FLAG_NEXT, 1);
VALUE(MEMIF_RING_FLAG_MASK_INT, 1);

SAME(memif_region_index_t, uint16_t);
SAME(memif_region_offset_t, uint64_t);
SAME(memif_region_size_t, uint64_t);
SAME(memif_ring_index_t, uint16_t);
SAME(memif_interface_id_t, uint32_t);
SAME(memif_version_t, uint16_t);
SAME(memif_log2_ring_size_t, uint8_t);
SIZE(memif_msg_type_t, 4);
SIZE(memif_ring_type_t, 4);
SIZE(memif_interface_mode_t, 4);

SIZE(memif_msg_hello_t, 43);
TEXT(memif_msg_hello_t, name, 0, 32);
FIELD(memif_msg_hello_t, min_version, 32, uint16_t);
FIELD(memif_msg_hello_t, max_version, 34, uint16_t);
FIELD(memif_msg_hello_t, max_region, 36, uint16_t);
FIELD(memif_msg_hello_t, max_m2s_ring, 38, uint16_t);
FIELD(memif_msg_hello_t, max_s2m_ring, 40, uint16_t);
FIELD(memif_msg_hello_t, max_log2_ring_size, 42, uint8_t);

SIZE(memif_msg_init_t, 63);
FIELD(memif_msg_init_t, version, 0, uint16_t);
FIELD(memif_msg_init_t, id, 2, uint32_t);
TEXT(memif_msg_init_t, secret, 7, 24);
TEXT(memif_msg_init_t, name, 31, 32);

SIZE(memif_msg_add_region_t, 10);
FIELD(memif_msg_add_region_t, index, 0, uint16_t);
FIELD(memif_msg_add_region_t, size, 2, uint64_t);

SIZE(memif_msg_add_ring_t, 15);
FIELD(memif_msg_add_ring_t, flags, 0, uint16_t);
FIELD(memif_msg_add_ring_t, index, 2, uint16_t);
FIELD(memif_msg_add_ring_t, region, 4, uint16_t);
FIELD(memif_msg_add_ring_t, offset, 6, uint64_t);
FIELD(memif_msg_add_ring_t, log2_ring_size, 14, uint8_t);

SIZE(memif_msg_connect_t, 32);
TEXT(memif_msg_connect_t, if_name, 0, 32);

SIZE(memif_msg_connected_t, 32);
TEXT(memif_msg_connected_t, if_name, 0, 32);

SIZE(memif_msg_disconnect_t, 100);
FIELD(memif_msg_disconnect_t, code, 0, uint32_t);
TEXT(memif_msg_disconnect_t, string, 4, 96);

SIZE(memif_msg_t, 128);
FIELD(memif_msg_t, hello, 2, memif_msg_hello_t);
FIELD(memif_msg_t, init, 2, memif_msg_init_t);
FIELD(memif_msg_t, add_region, 2, memif_msg_add_region_t);
FIELD(memif_msg_t, add_ring, 2, memif_msg_add_ring_t);
FIELD(memif_msg_t, connect, 2, memif_msg_connect_t);
FIELD(memif_msg_t, connected, 2, memif_msg_connected_t);
FIELD(memif_msg_t, disconnect, 2, memif_msg_disconnect_t);

SIZE(memif_desc_t, 32);
FIELD(memif_desc_t, flags, 0, uint16_t);
FIELD(memif_desc_t, region, 2, uint16_t);
FIELD(memif_desc_t, buffer_length, 4, uint32_t);
FIELD(memif_desc_t, length, 8, uint32_t);
TEXT(memif_desc_t, reserved, 12, 4);
FIELD(memif_desc_t, offset, 16, uint64_t);
FIELD(memif_desc_t, metadata, 24, uint64_t);

SIZE(memif_ring_t, 128);
FIELD(memif_ring_t, cookie, 0, uint32_t);
FIELD(memif_ring_t, flags, 4, uint16_t);
FIELD(memif_ring_t, head, 6, uint16_t);
FIELD(memif_ring_t, tail, 64, uint16_t);
FIELD(memif_ring_t, desc[0], 128, memif_desc_t);

/* libmemif.h */

VALUE(MEMIF_ERR_SUCCESS, 0);
VALUE(MEMIF_ERR_SYSCALL, 1);
VALUE(MEMIF_ERR_ACCES, 2);
VALUE(MEMIF_ERR_NO_FILE, 3);
VALUE(MEMIF_ERR_FILE_LIMIT, 4);
VALUE(MEMIF_ERR_PROC_FILE_LIMIT, 5);
VALUE(MEMIF_ERR_ALREADY, 6);
VALUE(MEMIF_ERR_AGAIN, 7);
VALUE(MEMIF_ERR_BAD_FD, 8);
VALUE(MEMIF_ERR_NOMEM, 9);
VALUE(MEMIF_ERR_INVAL_ARG, 10);
VALUE(MEMIF_ERR_NOCONN, 11);
VALUE(MEMIF_ERR_CONN, 12);
VALUE(MEMIF_ERR_CB_FDUPDATE, 13);
VALUE(MEMIF_ERR_FILE_NOT_SOCK, 14);
VALUE(MEMIF_ERR_NO_SHMFD, 15);
VALUE(MEMIF_ERR_COOKIE, 16);
VALUE(MEMIF_ERR_NOBUF_RING, 17);
VALUE(MEMIF_ERR_NOBUF, 18);
VALUE(MEMIF_ERR_NOBUF_DET, 19);
VALUE(MEMIF_ERR_INT_WRITE, 20);
VALUE(MEMIF_ERR_MFMSG, 21);
VALUE(MEMIF_ERR_QID, 22);
VALUE(MEMIF_ERR_PROTO, 23);
VALUE(MEMIF_ERR_ID, 24);
VALUE(MEMIF_ERR_ACCSLAVE, 25);
VALUE(MEMIF_ERR_ALRCONN, 26);
VALUE(MEMIF_ERR_MODE, 27);
VALUE(MEMIF_ERR_SECRET, 28);
VALUE(MEMIF_ERR_NOSECRET, 29);
VALUE(MEMIF_ERR_MAXREG, 30);
VALUE(MEMIF_ERR_MAXRING, 31);
VALUE(MEMIF_ERR_NO_INTFD, 32);
VALUE(MEMIF_ERR_DISCONNECT, 33);
VALUE(MEMIF_ERR_DISCONNECTED, 34);
VALUE(MEMIF_ERR_UNKNOWN_MSG, 35);
VALUE(MEMIF_ERR_POLL_CANCEL, 36);
SIZE(memif_err_t, 4);

VALUE(MEMIF_FD_EVENT_READ, 1);
VALUE(MEMIF_FD_EVENT_WRITE, 2);
VALUE(MEMIF_FD_EVENT_ERROR, 4);
VALUE(MEMIF_FD_EVENT_DEL, 8);
VALUE(MEMIF_FD_EVENT_MOD, 16);

VALUE(MEMIF_RX_MODE_INTERRUPT, 0);
VALUE(MEMIF_RX_MODE_POLLING, 1);
SIZE(memif_rx_mode_t, 4);

#ifndef MEMIF_HAVE_CANCEL_POLL_EVENT
#error "programs ask MEMIF_HAVE_CANCEL_POLL_EVENT whether memif_cancel_poll_event exists"
#endif

SAME(memif_conn_handle_t, void *);
FUNCTION_TYPE(int, memif_control_fd_update_t, int, uint8_t);
FUNCTION_TYPE(int, memif_connection_update_t, void *, void *);
FUNCTION_TYPE(int, memif_interrupt_t, void *, void *, uint16_t);

SIZE(memif_conn_args_t, 112);
FIELD(memif_conn_args_t, socket_filename, 0, uint8_t *);
TEXT(memif_conn_args_t, secret, 8, 24);
FIELD(memif_conn_args_t, num_s2m_rings, 32, uint8_t);
FIELD(memif_conn_args_t, num_m2s_rings, 33, uint8_t);
FIELD(memif_conn_args_t, buffer_size, 34, uint16_t);
FIELD(memif_conn_args_t, log2_ring_size, 36, uint8_t);
FIELD(memif_conn_args_t, is_master, 37, uint8_t);
FIELD(memif_conn_args_t, interface_id, 40, uint32_t);
TEXT(memif_conn_args_t, interface_name, 44, 32);
TEXT(memif_conn_args_t, instance_name, 76, 32);

SIZE(memif_buffer_t, 24);
FIELD(memif_buffer_t, desc_index, 0, uint16_t);
FIELD(memif_buffer_t, buffer_len, 4, uint32_t);
FIELD(memif_buffer_t, data_len, 8, uint32_t);
FIELD(memif_buffer_t, data, 16, void *);

SIZE(memif_queue_details_t, 12);
FIELD(memif_queue_details_t, qid, 0, uint8_t);
FIELD(memif_queue_details_t, ring_size, 4, uint32_t);
FIELD(memif_queue_details_t, buffer_size, 8, uint16_t);

SIZE(memif_details_t, 96);
FIELD(memif_details_t, if_name, 0, uint8_t *);
FIELD(memif_details_t, inst_name, 8, uint8_t *);
FIELD(memif_details_t, remote_if_name, 16, uint8_t *);
FIELD(memif_details_t, remote_inst_name, 24, uint8_t *);
FIELD(memif_details_t, id, 32, uint32_t);
FIELD(memif_details_t, secret, 40, uint8_t *);
FIELD(memif_details_t, role, 48, uint8_t);
FIELD(memif_details_t, mode, 49, uint8_t);
FIELD(memif_details_t, socket_filename, 56, uint8_t *);
FIELD(memif_details_t, rx_queues_num, 64, uint8_t);
FIELD(memif_details_t, tx_queues_num, 65, uint8_t);
FIELD(memif_details_t, rx_queues, 72, memif_queue_details_t *);
FIELD(memif_details_t, tx_queues, 80, memif_queue_details_t *);
FIELD(memif_details_t, link_up_down, 88, uint8_t);

FUNCTION(int, memif_init, memif_control_fd_update_t *, char *);
FUNCTION(int, memif_cleanup, void);
FUNCTION(int, memif_create, memif_conn_handle_t *, memif_conn_args_t *, memif_connection_update_t *,
         memif_connection_update_t *, memif_interrupt_t *, void *);
FUNCTION(int, memif_control_fd_handler, int, uint8_t);
FUNCTION(int, memif_delete, memif_conn_handle_t *);
FUNCTION(int, memif_poll_event, int);
FUNCTION(int, memif_cancel_poll_event, void);
FUNCTION(int, memif_get_queue_efd, memif_conn_handle_t, uint16_t, int *);
FUNCTION(int, memif_set_rx_mode, memif_conn_handle_t, memif_rx_mode_t, uint16_t);
FUNCTION(int, memif_rx_burst, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *);
FUNCTION(int, memif_buffer_free, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *);
FUNCTION(int, memif_buffer_alloc, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *, uint16_t);
FUNCTION(int, memif_tx_burst, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *);
FUNCTION(int, memif_get_details, memif_conn_handle_t, memif_details_t *, char *, ssize_t);
FUNCTION(char *, memif_strerror, int);

/* Both generations of memif_buffer_alloc; sizeof does not call. */
#define ALLOC(...) sizeof(memif_buffer_alloc(__VA_ARGS__))
_Static_assert(ALLOC(NULL, 0, NULL, 1, (uint16_t *)NULL) == sizeof(int), "without a size");
_Static_assert(ALLOC(NULL, 0, NULL, 1, (uint16_t *)NULL, 9000) == sizeof(int), "with a size");

/* The bit-fields and the string macros have no address and no constant value to compare. */
static int mode_lies_at_108(void)
{
    memif_conn_args_t args;

    memset(&args, 0, sizeof(args));
    args.mode = MEMIF_INTERFACE_MODE_PUNT_INJECT;
    return ((const uint8_t *)&args)[108] == 2;
}

static int message_bit_fields_lie_in_place(void)
{
    memif_msg_t msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = MEMIF_MSG_TYPE_INIT;
    msg.init.mode = MEMIF_INTERFACE_MODE_IP;
    return ((const uint8_t *)&msg)[0] == 3 && ((const uint8_t *)&msg)[2 + 6] == 1;
}

int main(void)
{
    if (strcmp(LIBMEMIF_VERSION, "1.0") != 0)
        return 1;
    if (strcmp(MEMIF_DEFAULT_APP_NAME, "libmemif-app") != 0)
        return 2;
    if (!mode_lies_at_108())
        return 3;
    if (!message_bit_fields_lie_in_place())
        return 4;
    return 0;
}
