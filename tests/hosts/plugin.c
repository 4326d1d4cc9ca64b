/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that uses the library, for plugin_host.c. */
#include "exchange.h"

#include <libmemif.h>
#include <stddef.h>

int plugin_run(const char *socket_path);

int plugin_run(const char *socket_path)
{
    if (memif_init(NULL, "plugin") != MEMIF_ERR_SUCCESS)
        return 3;
    if (exchange(socket_path) != 0)
        return 4;
    return memif_cleanup() == MEMIF_ERR_SUCCESS ? 0 : 5;
}
