/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <stdbool.h>

#include <libmemif.h>

#include "options.h"

/* The interfaces of icmp_responder, by index; the index is the interface id too. */
#define CONNECTIONS_MAX 255

/* All of these print what they cannot do. */

/* Creates interface options->id. */
void connection_create(const struct options *options);
void connection_delete(uint32_t index);
void connection_set_ip(uint32_t index, const uint8_t *ip);
void connection_set_rx_mode(uint32_t index, uint16_t qid, memif_rx_mode_t mode);

void connections_show(void);
void connections_delete_all(void);

/* Serves each queue in polling mode once. False when there is none. */
bool connections_poll(void);

#endif
