/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARSE_H
#define PARSE_H

#include <stdbool.h>

#include <libmemif.h>

/* Parsers for command line values. For any other text they return false and leave `value` alone. */

/* A decimal number from 0 to max. */
bool parse_number(const char *text, uint32_t max, uint32_t *value);

/* A number of queues in one direction, from 1 to 255. */
bool parse_queues(const char *text, uint8_t *queues);

/* Four bytes from a dotted quad. */
bool parse_ip(const char *text, uint8_t *ip);

/* ethernet or ip. */
bool parse_mode(const char *text, memif_interface_mode_t *mode);

#endif
