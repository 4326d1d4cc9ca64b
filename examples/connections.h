/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <stdbool.h>

#include <libmemif.h>

#include "options.h"

/* The interfaces of icmp_responder, by index. The index is also the interface id. */
#define CONNECTIONS_MAX 255

/* All of these functions print an error if they fail. */

/* Creates interface options->id. */
void connection_create(const struct options *options);
void connection_delete(uint32_t index);
void connection_set_ip(uint32_t index, const uint8_t *ip);
void connection_set_rx_mode(uint32_t index, uint16_t qid, memif_rx_mode_t mode);

void connections_show(void);
void connections_delete_all(void);

/* Serves each queue in polling mode once. False if no queue is in polling mode. */
bool connections_poll(void);

#endif
