/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fault.h"

#include "core/arena.h"

#include <stdio.h>
#include <sys/socket.h>

/* The connection of a queue whose first fault this is. */
static struct mif_connection *first_fault(const struct mif_queue *q)
{
    struct mif_connection *conn = mif_lookup(mif_handle_of(q));
    return conn == NULL || atomic_exchange(&conn->faulted, true) ? NULL : conn;
}

static void report_fault(struct mif_connection *conn, const char *reason)
{
    atomic_store(&conn->fault, reason);
    /* The control plane sees the end of its socket and finds the reason. The fd cannot be reused
     * under us: it is closed after mif_connection_down, which waits for this burst. */
    int fd = atomic_load(&conn->control_fd);
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RD);
}

void mif_fault(struct mif_queue *q, const char *reason)
{
    struct mif_connection *conn = first_fault(q);
    if (conn != NULL)
        report_fault(conn, reason);
}

void mif_fault_too_long(struct mif_queue *q, uint64_t length)
{
    struct mif_connection *conn = first_fault(q);
    if (conn == NULL)
        return;
    (void)snprintf(conn->fault_text, sizeof(conn->fault_text),
                   "packet of %llu bytes or more, expected at most %u", (unsigned long long)length,
                   conn->max_packet);
    report_fault(conn, conn->fault_text);
}

const char *mif_connection_fault(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    return conn == NULL ? NULL : atomic_load(&conn->fault);
}
