/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARSE_H
#define PARSE_H

#include <stdbool.h>

#include <libmemif.h>

/* Values of the command line. Each is false, and leaves the value untouched, for any other text. */

/* A decimal number from 0 to max. */
bool parse_number(const char *text, uint32_t max, uint32_t *value);

/* A number of queues in one direction, from 1 to 255. */
bool parse_queues(const char *text, uint8_t *queues);

/* Four bytes from a dotted quad. */
bool parse_ip(const char *text, uint8_t *ip);

/* ethernet or ip. */
bool parse_mode(const char *text, memif_interface_mode_t *mode);

#endif
