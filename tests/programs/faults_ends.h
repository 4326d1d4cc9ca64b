/* SPDX-License-Identifier: Apache-2.0 */
/* What faults_ends.c shares with the file of each interface, faults_v1.c or faults_v4.c. */
#ifndef FAULTS_ENDS_H
#define FAULTS_ENDS_H

#include "faults.h"

#include <libmemif.h>

extern memif_conn_handle_t conns[ENDS];
extern bool is_up[ENDS];

/* Callbacks; their context is the end's element of is_up. */
int on_end_down(memif_conn_handle_t conn, void *up);
int on_end_interrupt(memif_conn_handle_t conn, void *up, uint16_t qid);

/* Of each interface: says how long a packet to send is, and ends one that was received. */
void set_length(memif_buffer_t *buffer, uint16_t length);
int give_back(memif_conn_handle_t conn, memif_buffer_t *buffer);

#endif
