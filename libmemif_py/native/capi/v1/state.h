/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the 1.0 API, which a process has once: from memif_init to memif_cleanup. */
#ifndef MIF_V1_STATE_H
#define MIF_V1_STATE_H

#include "capi/v1/api.h"

#include <stdbool.h>

/* Takes the state for a memif_init. False if it is taken: of two threads that call memif_init at
 * the same time one wins. The state is taken from the begin of memif_init to the end of
 * memif_cleanup. */
bool mif_v1_take(memif_control_fd_update_t *on_control_fd_update);
void mif_v1_release(void);
/* True while the poller is open: between memif_init and memif_cleanup. */
bool mif_v1_is_open(void);

#endif
