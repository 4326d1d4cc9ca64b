/* SPDX-License-Identifier: Apache-2.0 */
/* One-time set-up of the data path, and its fresh start in a forked child. */
#ifndef MIF_SETUP_H
#define MIF_SETUP_H

/* Sets up the arena, barriers, signals and fork protection, once. A core error code. */
int mif_data_path_init(void);
/* Makes the data path work in a forked child: it begins without connections and watches, and what
 * the parent had is not touched. Before any other thread is started; the interpreter's extension
 * calls it, the C libraries refuse to work in a child. SUCCESS, or an error and all stays refused.
 */
int mif_start_over(void);

#endif
