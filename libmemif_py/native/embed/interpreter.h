/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting Python. We do it and not cffi: cffi would use the environment of the program (PYTHONPATH
 * and its like, site, the locale) and end the process on failure. Here nothing but the paths that
 * were found decides what code runs.
 */
#ifndef MIF_EMBED_INTERPRETER_H
#define MIF_EMBED_INTERPRETER_H

#include "embed/paths.h"

/* Finds the paths, and starts Python unless it runs; `was_running` says which. False after a
 * report. To be called once, and not with the GIL held. */
bool mif_embed_start_python(struct mif_embed_paths *paths, bool *was_running);

#endif
