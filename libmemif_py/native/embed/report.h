/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIF_EMBED_REPORT_H
#define MIF_EMBED_REPORT_H

/* Tells on stderr why the control plane cannot start; `detail` may be NULL. It is one line whatever
 * the detail holds, and written at once, so that no output of another thread gets into it. */
void mif_embed_report(const char *what, const char *detail);

#endif
