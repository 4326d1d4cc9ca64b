/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls of syscall() by the library, which the linker leads here first (--wrap=syscall). A program
 * says with on_system_call what becomes of each; pass_on makes the call.
 */

#ifndef MEMIF_C_TESTS_SYSTEM_CALLS_H
#define MEMIF_C_TESTS_SYSTEM_CALLS_H

#include <stdarg.h>
#include <sys/syscall.h>

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static long on_system_call(long number, const long *a);

static long pass_on(long number, const long *a)
{
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The sixth argument would be read from the caller's stack, so it is read only of a call that has
 * one. */
long __wrap_syscall(long number, ...)
{
    const int count = number == SYS_preadv2 ? 6 : 5;
    long a[6] = {0};
    va_list arguments;

    va_start(arguments, number);
    for (int i = 0; i < count; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    return on_system_call(number, a);
}

#endif
