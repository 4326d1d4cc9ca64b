/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C functions of both APIs have in common. It is compiled for each of them with its
 * own libmemif.h, and answers with core codes.
 */
#ifndef MIF_CAPI_COMMON_H
#define MIF_CAPI_COMMON_H

#include "core/arena.h"
#include "core/errors.h"
#include "libmemif.h"

/* Implemented in Python, as all functions whose names begin like these. They answer with core
 * codes. */
int mif_python_delete(void *handle);
int mif_python_control(uintptr_t poller, int fd, uint32_t events);
int mif_python_details(void *handle, memif_details_t *details, char *buf, size_t size);

/* SUCCESS when the handle is that of an interface and the control plane may be called. */
int mif_capi_check_handle(const void *handle);
/* Where the events of a control fd go. */
int mif_capi_control(uintptr_t poller, int fd, uint32_t events);
/* memif_delete. */
int mif_capi_delete(memif_conn_handle_t *conn);
/* memif_set_rx_mode. */
int mif_capi_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid);
/* memif_get_queue_efd. */
int mif_capi_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd);

/* True if a burst cannot begin. The counter is an output of every call, so that a program that
 * ignores the code finds no packets. */
static inline bool mif_capi_bad_burst(const memif_buffer_t *bufs, uint16_t count,
                                      const uint16_t *out)
{
    return __builtin_expect(out == NULL || bufs == NULL, 0) && (out == NULL || count > 0);
}

/* True if the arguments of memif_get_details after the handle cannot be used. */
static inline bool mif_capi_bad_details(const memif_details_t *details, const char *buf,
                                        ssize_t size)
{
    return details == NULL || (buf == NULL && size > 0) || size < 0;
}

#endif
