/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIF_EMBED_IMPORTS_H
#define MIF_EMBED_IMPORTS_H

#include "embed/paths.h"

/* Importing: loads the control plane into the running interpreter. False after a report. */
bool mif_embed_import_control_plane(const struct mif_embed_paths *paths);

#endif
