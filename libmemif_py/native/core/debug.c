/* SPDX-License-Identifier: Apache-2.0 */
#include "core/debug.h"

#include "core/layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

bool mif_debug_on;

void mif_debug_init(void)
{
    const char *wish = secure_getenv("LIBMEMIF_DEBUG");
#ifdef MIF_DEBUG_BUILD
    mif_debug_on = wish == NULL || strcmp(wish, "0") != 0;
#else
    mif_debug_on = wish != NULL && *wish != '\0' && strcmp(wish, "0") != 0;
#endif
}

int mif_protocol_wish(void)
{
    const char *wish = secure_getenv("LIBMEMIF_PROTOCOL");
    if (wish == NULL)
        return 0;
    int version = atoi(wish);
    return version == MIF_VERSION_256 || version == MIF_VERSION_512 ? version : 0;
}

bool mif_unsealed_never(void)
{
    const char *wish = secure_getenv("LIBMEMIF_UNSEALED");
    return wish != NULL && *wish != '\0' && strcmp(wish, "trusted") != 0;
}

bool mif_stats_wanted(void)
{
    const char *wish = secure_getenv("LIBMEMIF_STATS");
    return getauxval(AT_SECURE) == 0 && (wish == NULL || strcmp(wish, "0") != 0);
}

void mif_debug_line(const char *file, const char *function, int line, const char *text)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(stderr, "[%5lld.%06ld] MEMIF_DEBUG:%s:%s:%d: %s\n", (long long)now.tv_sec,
            now.tv_nsec / 1000, file, function, line, text);
}

void mif_debug_format(const char *file, const char *function, int line, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mif_debug_line(file, function, line, text);
}
