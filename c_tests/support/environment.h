/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What tests of either API stand on: a folder, deadlines, what the process holds, contents of
 * packets. No library is needed for it.
 */

#ifndef MEMIF_C_TESTS_ENVIRONMENT_H
#define MEMIF_C_TESTS_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* ---- the test's own folder, removed when the process ends ---- */

enum { PATH_SIZE = 128 };

void path_in_folder(char path[PATH_SIZE], const char *name);
size_t files_in_folder(void);

/* ---- what the process holds ---- */

size_t open_fds(void);
/* Mappings of memory that was made to be shared. */
size_t shared_mappings(void);
size_t address_space_bytes(void);
/* Makes room for tests that need more than the usual 1024. */
void raise_fd_limit(void);

/* ---- time ---- */

/* These two do not check by themselves, and work outside of tests. */
struct timespec deadline_from_now(void);
bool is_past(const struct timespec *deadline);
/* True if fd can be read now. */
bool is_readable(int fd);
/* Waits until the other thread sleeps, in whatever it was told to wait for. */
void wait_until_asleep(pid_t thread);

/* ---- packets ---- */

/* 64 KiB of bytes that can be told apart by their seed. */
const uint8_t *pattern_of(uint32_t seed);

#endif
