/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this process is a forked child, which must not touch what it shares with its parent. */
#ifndef MIF_FORK_H
#define MIF_FORK_H

#include <stdbool.h>
#include <stdint.h>

/* True in a child that was forked after mif_data_path_init, until mif_start_over. */
bool mif_in_forked_child(void);
/* Changes with every fork that leads to this process: whether something was inherited. */
uint32_t mif_generation(void);

/* For setup.c: the process has just been forked, the child has started over. */
void mif_fork_began(void);
void mif_fork_ended(void);

#endif
