/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/report.h"

#include <stddef.h>
#include <stdio.h>

void mif_embed_report(const char *what, const char *detail)
{
    char line[1024];
    int n = snprintf(line, sizeof(line) - 1, "libmemif: cannot start the control plane: %s%s%s",
                     what, detail == NULL ? "" : ": ", detail == NULL ? "" : detail);
    if (n < 0)
        return;
    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    fprintf(stderr, "%s\n", line);
}
