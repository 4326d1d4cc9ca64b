/* SPDX-License-Identifier: Apache-2.0 */
#include "core/errors.h"

#include "core/debug.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

static _Thread_local char failed_call[96];
static _Thread_local int failed_code; /* 0: none, or it was asked for */

const char *mif_error_text(int code)
{
#define MIF_ERROR_TEXT(name, number, text) [number] = (text),
    static const char *const texts[] = {MIF_ERRORS(MIF_ERROR_TEXT)};
#undef MIF_ERROR_TEXT
    if (code < 0 || code >= MIF_ERR_COUNT)
        return "unknown error code";
    return texts[code];
}

const char *mif_error_name(int code)
{
#define MIF_ERROR_NAME(name, number, text) [number] = #name,
    static const char *const names[] = {MIF_ERRORS(MIF_ERROR_NAME)};
#undef MIF_ERROR_NAME
    return code < 0 || code >= MIF_ERR_COUNT ? NULL : names[code];
}

int mif_error_from_errno(int error)
{
    switch (error) {
    case 0:
        return MIF_ERR_SUCCESS;
    case ECONNREFUSED:
        return MIF_ERR_CONNREFUSED;
    case EACCES:
    case EPERM:
    case EROFS:
        return MIF_ERR_ACCES;
    case ENOENT:
    case ENOTDIR:
        return MIF_ERR_NO_FILE;
    case ENFILE:
        return MIF_ERR_FILE_LIMIT;
    case EMFILE:
        return MIF_ERR_PROC_FILE_LIMIT;
    case EALREADY:
        return MIF_ERR_ALREADY;
    case EAGAIN:
        return MIF_ERR_AGAIN;
    case EBADF:
        return MIF_ERR_BAD_FD;
    case ENOMEM:
        return MIF_ERR_NOMEM;
    default:
        return MIF_ERR_SYSCALL;
    }
}

int mif_call_failed(const char *call)
{
    int error = errno;
    (void)snprintf(failed_call, sizeof(failed_call), "%s: %m", call);
    MIF_DEBUG("%s", failed_call);
    failed_code = mif_error_from_errno(error);
    errno = error;
    return failed_code;
}

const char *mif_failed_call(int code)
{
    bool is_it = code != MIF_ERR_SUCCESS && failed_code == code;
    failed_code = MIF_ERR_SUCCESS;
    return is_it ? failed_call : NULL;
}
