/* SPDX-License-Identifier: Apache-2.0 */
#include "core/barrier.h"

#include "core/layout.h"

#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NEVER_QUIET 0x10000u /* flags have 16 bits */
uint32_t mif_quiet_flags = NEVER_QUIET;

static int membarrier_command; /* 0: not available */
static bool reaches_peers;

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

void mif_barrier_init(void)
{
    long supported = membarrier(MEMBARRIER_CMD_QUERY);
    if (supported < 0)
        return;
    if ((supported & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0)
        membarrier_command = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
    else if (supported & MEMBARRIER_CMD_GLOBAL)
        membarrier_command = MEMBARRIER_CMD_GLOBAL;
    if (!(supported & MEMBARRIER_CMD_GLOBAL_EXPEDITED))
        return;
    reaches_peers = true;
    if (membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0)
        mif_quiet_flags = MIF_RING_MASK_INT | MIF_RING_FENCED | MIF_RING_TELLS_ROOM;
}

/* The last resort: far longer than a store stays in a store buffer. */
static void wait_for_stores(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Where the kernel (or a seccomp filter) has no membarrier, a change of protection on a page in use
 * interrupts every processor that runs one of our threads, which orders as well. */
void mif_barrier_on_all_threads(void)
{
    if (membarrier_command != 0 && membarrier(membarrier_command) == 0)
        return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile uint8_t *p =
        mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        wait_for_stores();
        return;
    }
    p[0] = 1;
    (void)mprotect((void *)p, page, PROT_READ);
    (void)munmap((void *)p, page);
}

/* A seccomp filter may have been installed since the start. */
void mif_barrier_on_peers(void)
{
    if (reaches_peers && membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0)
        wait_for_stores();
}

bool mif_barrier_reaches_peers(void)
{
    return reaches_peers;
}

bool mif_barrier_is_received(void)
{
    return mif_quiet_flags != NEVER_QUIET;
}
