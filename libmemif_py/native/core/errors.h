/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of error codes. The core has the numbers of the 4.0 API, which has every code;
 * an interface with other numbers translates where it calls the core.
 *
 * MIF_ERRORS(X): X(name, code, text)
 */
#ifndef MIF_ERRORS_H
#define MIF_ERRORS_H

#define MIF_ERRORS(X)                                                                              \
    X(SUCCESS, 0, "success")                                                                       \
    X(SYSCALL, 1, "a system call failed")                                                          \
    X(CONNREFUSED, 2, "connection refused: nobody listens on the socket")                          \
    X(ACCES, 3, "permission denied")                                                               \
    X(NO_FILE, 4, "no such file or directory")                                                     \
    X(FILE_LIMIT, 5, "the system is out of file descriptors")                                      \
    X(PROC_FILE_LIMIT, 6, "the process is out of file descriptors")                                \
    X(ALREADY, 7, "already under way or in use by another process")                                \
    X(AGAIN, 8, "resource temporarily unavailable, try again")                                     \
    X(BAD_FD, 9, "bad file descriptor")                                                            \
    X(NOMEM, 10, "out of memory")                                                                  \
    X(INVAL_ARG, 11, "invalid argument")                                                           \
    X(NOCONN, 12, "the handle names no interface")                                                 \
    X(CONN, 13, "the handle is in use already")                                                    \
    X(CB_FDUPDATE, 14, "the application's control fd callback failed")                             \
    X(FILE_NOT_SOCK, 15, "the socket path exists and is not a socket")                             \
    X(NO_SHMFD, 16, "a region came without a file descriptor")                                     \
    X(COOKIE, 17, "wrong cookie in a ring")                                                        \
    X(NOBUF_RING, 18, "not enough free slots in the ring")                                         \
    X(NOBUF, 19, "more packets wait than buffers were offered")                                    \
    X(NOBUF_DET, 20, "the buffer is too small for the details")                                    \
    X(INT_WRITE, 21, "could not signal the peer")                                                  \
    X(MFMSG, 22, "malformed message")                                                              \
    X(QID, 23, "no such queue")                                                                    \
    X(PROTO, 24, "protocol version or sequence mismatch")                                          \
    X(ID, 25, "no interface with this id")                                                         \
    X(ACCSLAVE, 26, "the interface is a slave and accepts no connection")                          \
    X(ALRCONN, 27, "the interface is connected already")                                           \
    X(MODE, 28, "interface mode mismatch")                                                         \
    X(SECRET, 29, "incorrect secret")                                                              \
    X(NOSECRET, 30, "a secret is required")                                                        \
    X(MAXREG, 31, "too many regions, or a region that cannot be used")                             \
    X(MAXRING, 32, "too many rings")                                                               \
    X(NO_INTFD, 33, "a ring came without an interrupt file descriptor")                            \
    X(DISCONNECT, 34, "the peer asked to disconnect")                                              \
    X(DISCONNECTED, 35, "not connected")                                                           \
    X(UNKNOWN_MSG, 36, "unknown message type")                                                     \
    X(POLL_CANCEL, 37, "polling was cancelled")                                                    \
    X(MAX_RING, 38, "the ring is too large")                                                       \
    X(PRIVHDR, 39, "private headers are not supported")

#define MIF_ERROR_ENUM(name, code, text) MIF_ERR_##name = (code),
enum mif_error { MIF_ERRORS(MIF_ERROR_ENUM) MIF_ERR_COUNT };
#undef MIF_ERROR_ENUM

/* Text of a core code; a fixed text for any other number. Never NULL. */
const char *mif_error_text(int code);

/* Its name without prefix, or NULL. */
const char *mif_error_name(int code);

/* The core code for an errno value. */
int mif_error_from_errno(int error);

/* The same for a system call that has just failed; writes a debug line and keeps the name of the
 * call for mif_failed_call. */
int mif_call_failed(const char *call);

/* "call: reason" of this thread's last mif_call_failed, if it gave this code and was not asked for
 * since; or NULL. */
const char *mif_failed_call(int code);

/* The 1.0 API lacks CONNREFUSED, MAX_RING and PRIVHDR, so its other codes have lower numbers.
 */
static inline int mif_error_to_v1(int code)
{
    if (code <= MIF_ERR_SYSCALL)
        return code;
    switch (code) {
    case MIF_ERR_CONNREFUSED:
        return MIF_ERR_SYSCALL;
    case MIF_ERR_MAX_RING:
        return MIF_ERR_INVAL_ARG - 1;
    case MIF_ERR_PRIVHDR:
        return MIF_ERR_PROTO - 1;
    default:
        return code - 1;
    }
}

#define MIF_ERR_V1_POLL_CANCEL (MIF_ERR_POLL_CANCEL - 1)

static inline int mif_error_from_v1(int code)
{
    if (code <= MIF_ERR_SYSCALL)
        return code;
    return code <= MIF_ERR_V1_POLL_CANCEL ? code + 1 : -1;
}

#endif
