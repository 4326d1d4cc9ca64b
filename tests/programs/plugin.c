/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that uses the library, for plugin_loader.c and two_plugins.c. */
#include "exchange.h"

#include <libmemif.h>
#include <stddef.h>

int plugin_run(const char *socket_path);

int plugin_run(const char *socket_path)
{
    if (library_begin(socket_path) != MEMIF_ERR_SUCCESS)
        return 3;
    if (exchange(socket_path) != 0)
        return 4;
    return library_end() == MEMIF_ERR_SUCCESS ? 0 : 5;
}
