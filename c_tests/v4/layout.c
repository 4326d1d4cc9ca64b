/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs built for libmemif 4.0 were compiled against: names, types, values and layouts
 * (x86-64). The promises are kept at compile time.
 */

#include <stddef.h>
#include <string.h>

#include <libmemif.h>
#ifdef _MEMIF_H_
#error "libmemif.h does not include memif.h: programs may have names of their own"
#endif
#include <memif.h>

#include "layout.h"

/* memif.h */

VALUE(MEMIF_COOKIE, 0x3E31F20);
VALUE(MEMIF_VERSION_MAJOR, 2);
VALUE(MEMIF_VERSION_MINOR, 0);
VALUE(MEMIF_VERSION, 512);
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
SAME(memif_region_offset_t, uint32_t);
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

SIZE(memif_msg_add_ring_t, 13);
FIELD(memif_msg_add_ring_t, flags, 0, uint16_t);
FIELD(memif_msg_add_ring_t, index, 2, uint16_t);
FIELD(memif_msg_add_ring_t, region, 4, uint16_t);
FIELD(memif_msg_add_ring_t, offset, 6, uint32_t);
FIELD(memif_msg_add_ring_t, log2_ring_size, 10, uint8_t);
FIELD(memif_msg_add_ring_t, private_hdr_size, 11, uint16_t);

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

SIZE(memif_desc_t, 16);
FIELD(memif_desc_t, flags, 0, uint16_t);
FIELD(memif_desc_t, region, 2, uint16_t);
FIELD(memif_desc_t, length, 4, uint32_t);
FIELD(memif_desc_t, offset, 8, uint32_t);
FIELD(memif_desc_t, metadata, 12, uint32_t);

SIZE(memif_ring_t, 128);
FIELD(memif_ring_t, cookie, 0, uint32_t);
FIELD(memif_ring_t, flags, 4, uint16_t);
FIELD(memif_ring_t, head, 6, uint16_t);
FIELD(memif_ring_t, tail, 64, uint16_t);
FIELD(memif_ring_t, desc[0], 128, memif_desc_t);

/* libmemif.h */

VALUE(MEMIF_ERR_SUCCESS, 0);
VALUE(MEMIF_ERR_SYSCALL, 1);
VALUE(MEMIF_ERR_CONNREFUSED, 2);
VALUE(MEMIF_ERR_ACCES, 3);
VALUE(MEMIF_ERR_NO_FILE, 4);
VALUE(MEMIF_ERR_FILE_LIMIT, 5);
VALUE(MEMIF_ERR_PROC_FILE_LIMIT, 6);
VALUE(MEMIF_ERR_ALREADY, 7);
VALUE(MEMIF_ERR_AGAIN, 8);
VALUE(MEMIF_ERR_BAD_FD, 9);
VALUE(MEMIF_ERR_NOMEM, 10);
VALUE(MEMIF_ERR_INVAL_ARG, 11);
VALUE(MEMIF_ERR_NOCONN, 12);
VALUE(MEMIF_ERR_CONN, 13);
VALUE(MEMIF_ERR_CB_FDUPDATE, 14);
VALUE(MEMIF_ERR_FILE_NOT_SOCK, 15);
VALUE(MEMIF_ERR_NO_SHMFD, 16);
VALUE(MEMIF_ERR_COOKIE, 17);
VALUE(MEMIF_ERR_NOBUF_RING, 18);
VALUE(MEMIF_ERR_NOBUF, 19);
VALUE(MEMIF_ERR_NOBUF_DET, 20);
VALUE(MEMIF_ERR_INT_WRITE, 21);
VALUE(MEMIF_ERR_MFMSG, 22);
VALUE(MEMIF_ERR_QID, 23);
VALUE(MEMIF_ERR_PROTO, 24);
VALUE(MEMIF_ERR_ID, 25);
VALUE(MEMIF_ERR_ACCSLAVE, 26);
VALUE(MEMIF_ERR_ALRCONN, 27);
VALUE(MEMIF_ERR_MODE, 28);
VALUE(MEMIF_ERR_SECRET, 29);
VALUE(MEMIF_ERR_NOSECRET, 30);
VALUE(MEMIF_ERR_MAXREG, 31);
VALUE(MEMIF_ERR_MAXRING, 32);
VALUE(MEMIF_ERR_NO_INTFD, 33);
VALUE(MEMIF_ERR_DISCONNECT, 34);
VALUE(MEMIF_ERR_DISCONNECTED, 35);
VALUE(MEMIF_ERR_UNKNOWN_MSG, 36);
VALUE(MEMIF_ERR_POLL_CANCEL, 37);
VALUE(MEMIF_ERR_MAX_RING, 38);
VALUE(MEMIF_ERR_PRIVHDR, 39);
SIZE(memif_err_t, 4);

VALUE(MEMIF_FD_EVENT_READ, 1);
VALUE(MEMIF_FD_EVENT_WRITE, 2);
VALUE(MEMIF_FD_EVENT_ERROR, 4);
VALUE(MEMIF_FD_EVENT_DEL, 8);
VALUE(MEMIF_FD_EVENT_MOD, 16);
SIZE(memif_fd_event_type_t, 4);
SAME(memif_fd_event_type_t, enum memif_fd_event_type);

VALUE(MEMIF_RX_MODE_INTERRUPT, 0);
VALUE(MEMIF_RX_MODE_POLLING, 1);
SIZE(memif_rx_mode_t, 4);

#ifndef MEMIF_HAVE_CANCEL_POLL_EVENT
#error "programs ask MEMIF_HAVE_CANCEL_POLL_EVENT whether memif_cancel_poll_event exists"
#endif

SAME(memif_conn_handle_t, void *);
SAME(memif_socket_handle_t, void *);
FUNCTION_TYPE(void *, memif_alloc_t, size_t);
FUNCTION_TYPE(void *, memif_realloc_t, void *, size_t);
FUNCTION_TYPE(void, memif_free_t, void *);
FUNCTION_TYPE(int, memif_control_fd_update_t, memif_fd_event_t, void *);
FUNCTION_TYPE(int, memif_connection_update_t, void *, void *);
FUNCTION_TYPE(int, memif_on_interrupt_t, void *, void *, uint16_t);
FUNCTION_TYPE(uint32_t, memif_get_external_buffer_offset_t, void *);
FUNCTION_TYPE(int, memif_add_external_region_t, void **, uint32_t, int *, void *);
FUNCTION_TYPE(void *, memif_get_external_region_addr_t, uint32_t, int, void *);
FUNCTION_TYPE(int, memif_del_external_region_t, void *, uint32_t, int, void *);

SIZE(memif_fd_event_t, 16);
SAME(memif_fd_event_t, struct memif_fd_event);
FIELD(memif_fd_event_t, fd, 0, int);
FIELD(memif_fd_event_t, type, 4, memif_fd_event_type_t);
FIELD(memif_fd_event_t, private_ctx, 8, void *);

SIZE(memif_socket_args_t, 208);
SAME(memif_socket_args_t, struct memif_socket_args);
ARRAY(memif_socket_args_t, path, 0, char, 108);
ARRAY(memif_socket_args_t, app_name, 108, char, 32);
FIELD(memif_socket_args_t, connection_request_timer, 144, struct itimerspec);
FIELD(memif_socket_args_t, on_control_fd_update, 176, memif_control_fd_update_t *);
FIELD(memif_socket_args_t, alloc, 184, memif_alloc_t *);
FIELD(memif_socket_args_t, realloc, 192, memif_realloc_t *);
FIELD(memif_socket_args_t, free, 200, memif_free_t *);

SIZE(memif_conn_args_t, 80);
FIELD(memif_conn_args_t, socket, 0, memif_socket_handle_t);
TEXT(memif_conn_args_t, secret, 8, 24);
FIELD(memif_conn_args_t, num_s2m_rings, 32, uint8_t);
FIELD(memif_conn_args_t, num_m2s_rings, 33, uint8_t);
FIELD(memif_conn_args_t, buffer_size, 34, uint16_t);
FIELD(memif_conn_args_t, log2_ring_size, 36, uint8_t);
FIELD(memif_conn_args_t, is_master, 37, uint8_t);
FIELD(memif_conn_args_t, interface_id, 40, uint32_t);
TEXT(memif_conn_args_t, interface_name, 44, 32);

SIZE(memif_buffer_t, 32);
FIELD(memif_buffer_t, desc_index, 0, uint16_t);
FIELD(memif_buffer_t, queue, 8, void *);
FIELD(memif_buffer_t, len, 16, uint32_t);
FIELD(memif_buffer_t, flags, 20, uint8_t);
FIELD(memif_buffer_t, data, 24, void *);
VALUE(MEMIF_BUFFER_FLAG_NEXT, 1);

SIZE(memif_queue_details_t, 16);
FIELD(memif_queue_details_t, region, 0, uint8_t);
FIELD(memif_queue_details_t, qid, 2, uint16_t);
FIELD(memif_queue_details_t, ring_size, 4, uint32_t);
FIELD(memif_queue_details_t, flags, 8, uint16_t);
FIELD(memif_queue_details_t, head, 10, uint16_t);
FIELD(memif_queue_details_t, tail, 12, uint16_t);
FIELD(memif_queue_details_t, buffer_size, 14, uint16_t);
VALUE(MEMIF_QUEUE_FLAG_POLLING, 1);

SIZE(memif_region_details_t, 32);
FIELD(memif_region_details_t, index, 0, uint8_t);
FIELD(memif_region_details_t, addr, 8, void *);
FIELD(memif_region_details_t, size, 16, uint32_t);
FIELD(memif_region_details_t, fd, 20, int);
FIELD(memif_region_details_t, is_external, 24, uint8_t);

SIZE(memif_details_t, 120);
FIELD(memif_details_t, if_name, 0, uint8_t *);
FIELD(memif_details_t, inst_name, 8, uint8_t *);
FIELD(memif_details_t, remote_if_name, 16, uint8_t *);
FIELD(memif_details_t, remote_inst_name, 24, uint8_t *);
FIELD(memif_details_t, id, 32, uint32_t);
FIELD(memif_details_t, secret, 40, uint8_t *);
FIELD(memif_details_t, role, 48, uint8_t);
FIELD(memif_details_t, mode, 49, uint8_t);
FIELD(memif_details_t, socket_path, 56, uint8_t *);
FIELD(memif_details_t, regions_num, 64, uint8_t);
FIELD(memif_details_t, regions, 72, memif_region_details_t *);
FIELD(memif_details_t, rx_queues_num, 80, uint8_t);
FIELD(memif_details_t, tx_queues_num, 81, uint8_t);
FIELD(memif_details_t, rx_queues, 88, memif_queue_details_t *);
FIELD(memif_details_t, tx_queues, 96, memif_queue_details_t *);
FIELD(memif_details_t, error, 104, uint8_t *);
FIELD(memif_details_t, link_up_down, 112, uint8_t);

FUNCTION(uint16_t, memif_get_version, void);
FUNCTION(const char *, memif_get_version_str, void);
FUNCTION(int, memif_create_socket, memif_socket_handle_t *, memif_socket_args_t *, void *);
FUNCTION(int, memif_delete_socket, memif_socket_handle_t *);
FUNCTION(memif_socket_handle_t, memif_get_socket_handle, memif_conn_handle_t);
FUNCTION(const char *, memif_get_socket_path, memif_socket_handle_t);
FUNCTION(int, memif_get_listener_fd, memif_socket_handle_t);
FUNCTION(int, memif_set_listener_fd, memif_socket_handle_t, int);
FUNCTION(int, memif_set_connection_request_timer, memif_socket_handle_t, struct itimerspec);
FUNCTION(int, memif_create, memif_conn_handle_t *, memif_conn_args_t *, memif_connection_update_t *,
         memif_connection_update_t *, memif_on_interrupt_t *, void *);
FUNCTION(int, memif_request_connection, memif_conn_handle_t);
FUNCTION(int, memif_control_fd_handler, void *, memif_fd_event_type_t);
FUNCTION(int, memif_delete, memif_conn_handle_t *);
FUNCTION(int, memif_poll_event, memif_socket_handle_t, int);
FUNCTION(int, memif_cancel_poll_event, memif_socket_handle_t);
FUNCTION(int, memif_register_external_region, memif_socket_handle_t, memif_add_external_region_t *,
         memif_get_external_region_addr_t *, memif_del_external_region_t *,
         memif_get_external_buffer_offset_t *);
FUNCTION(int, memif_get_queue_efd, memif_conn_handle_t, uint16_t, int *);
FUNCTION(int, memif_set_rx_mode, memif_conn_handle_t, memif_rx_mode_t, uint16_t);
FUNCTION(int, memif_rx_burst, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *);
FUNCTION(int, memif_refill_queue, memif_conn_handle_t, uint16_t, uint16_t, uint16_t);
FUNCTION(int, memif_buffer_alloc, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *, uint16_t);
FUNCTION(int, memif_set_next_free_buffer, memif_conn_handle_t, uint16_t, memif_buffer_t *);
FUNCTION(int, memif_buffer_enq_tx, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *);
FUNCTION(int, memif_buffer_requeue, memif_conn_handle_t, memif_buffer_t *, memif_buffer_t *);
FUNCTION(int, memif_tx_burst, memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t,
         uint16_t *);
FUNCTION(int, memif_get_details, memif_conn_handle_t, memif_details_t *, char *, ssize_t);
FUNCTION(char *, memif_strerror, int);

/* The bit-fields and the string macros have no address and no constant value to compare. */
static int mode_lies_at_76(void)
{
    memif_conn_args_t args;

    memset(&args, 0, sizeof(args));
    args.mode = MEMIF_INTERFACE_MODE_PUNT_INJECT;
    return ((const uint8_t *)&args)[76] == 2;
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
    if (strcmp(LIBMEMIF_VERSION, "4.0") != 0)
        return 1;
    if (strcmp(MEMIF_DEFAULT_APP_NAME, "libmemif-app") != 0)
        return 2;
    if (!mode_lies_at_76())
        return 3;
    if (!message_bit_fields_lie_in_place())
        return 4;
    if (memif_get_version() != MEMIF_VERSION)
        return 5;
    if (strcmp(memif_get_version_str(), "2.0") != 0)
        return 6;
    return 0;
}
