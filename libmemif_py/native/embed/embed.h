/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter inside the library: started at the first call that needs the control plane, in
 * isolation from the program's environment, and never finalised.
 */
#ifndef MIF_EMBED_H
#define MIF_EMBED_H

#include <stdbool.h>

/* Makes sure that the control plane runs. Returns SUCCESS or a core error code. The first failure
 * is one line on stderr, and every later call fails the same way without another attempt. While the
 * process lacks file descriptors or address space for a start, no attempt is made: the code is
 * PROC_FILE_LIMIT or NOMEM, and a later call may succeed. */
int mif_embed_start(void);

/* SUCCESS when the control plane may be called: it was started, the process is not a forked child,
 * and the program's own interpreter, if it has one, is not being finalised. */
int mif_embed_check(void);

/* Called by the control plane. */
void mif_embed_ready(void);
void mif_embed_failed(const char *reason);
void mif_embed_closing(void);
/* True when the interpreter was there before us: the program is Python. */
bool mif_embed_in_python_program(void);

/* In the generated source of the embedded module: loads the module and runs its start-up code. */
int mif_embed_start_cffi(void);

#endif
