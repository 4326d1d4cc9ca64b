/* SPDX-License-Identifier: Apache-2.0 */

/* Regions that outlive their link, because somebody still looks at packets in them. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/errors.h"
#include "core/lease.h"

static int unmapped;

int __real_munmap(void *base, size_t bytes);
int __wrap_munmap(void *base, size_t bytes)
{
    unmapped += bytes == REGION_BYTES;
    return __real_munmap(base, bytes);
}

static struct {
    void *made; /* the last one, until it is freed */
    bool refuses;
    pthread_mutex_t *lock;
} leases;
static pthread_mutex_t *locked; /* the last of all, until it is not; Check has one too */

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
    if (bytes < MIF_MAX_REGIONS * sizeof(struct mif_region))
        return __real_calloc(count, bytes); /* no lease */
    leases.lock = locked;
    if (leases.lock == NULL)
        ck_abort_msg("two threads may make a lease of one link");
    return leases.made = leases.refuses ? NULL : __real_calloc(count, bytes);
}

void __real_free(void *pointer);
void __wrap_free(void *pointer)
{
    if (pointer != NULL && pointer == leases.made)
        leases.made = NULL;
    __real_free(pointer);
}

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    locked = lock;
    return __real_pthread_mutex_lock(lock);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
    if (lock == leases.lock && lock != locked)
        ck_abort_msg("a lease is changed without its lock");
    locked = NULL;
    return __real_pthread_mutex_unlock(lock);
}

static struct mif_connection *connection(void)
{
    struct mif_connection *conn = mif_lookup(loopback.handles[SLAVE]);

    ck_assert_ptr_nonnull(conn);
    return conn;
}

/* A link with some bytes in its region; returns where they are. */
static uint8_t *raise_with_bytes(void)
{
    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    unmapped = 0;
    uint8_t *bytes = connection()->regions[0].base + REGION_BYTES - 8;
    memcpy(bytes, "a packet", 8);
    return bytes;
}

MEMIF_TEST(without_a_lease_regions_go_with_the_link)
{
    raise_with_bytes();
    ck_assert(!mif_lease_hand_over(connection()));
    lower_side(SLAVE);
    ck_assert_int_eq(unmapped, 1);
    close_loopback();
}

MEMIF_TEST_LOOP(the_last_who_looks_unmaps, 1, 4)
{
    struct mif_lease *lease = NULL;
    uint8_t *bytes = raise_with_bytes();

    for (int holder = 0; holder < _i; holder++) {
        struct mif_lease *taken = mif_lease_take(connection());
        ck_assert_ptr_nonnull(taken);
        ck_assert(lease == NULL || taken == lease); /* of a link there is one */
        lease = taken;
    }
    lower_side(SLAVE);
    ck_assert_ptr_null(connection()->lease);
    for (int holder = 0; holder < _i; holder++) {
        ck_assert_int_eq(unmapped, 0);
        ck_assert_int_eq(memcmp(bytes, "a packet", 8), 0);
        ck_assert_ptr_eq(leases.made, lease);
        mif_lease_drop(lease);
    }
    ck_assert_int_eq(unmapped, 1);
    ck_assert_ptr_null(leases.made);
    close_loopback();
}

MEMIF_TEST(who_looks_no_more_before_the_end_leaves_the_regions_to_the_link)
{
    raise_with_bytes();
    mif_lease_drop(mif_lease_take(connection()));
    ck_assert_ptr_nonnull(connection()->lease); /* it serves the next */
    ck_assert_int_eq(unmapped, 0);
    lower_side(SLAVE);
    ck_assert_int_eq(unmapped, 1);
    close_loopback();
}

MEMIF_TEST(each_link_has_a_lease_of_its_own)
{
    uint8_t *bytes = raise_with_bytes();
    struct mif_lease *first = mif_lease_take(connection());

    lower_side(SLAVE);
    raise_side(SLAVE);
    struct mif_lease *second = mif_lease_take(connection());
    ck_assert(second != first);
    lower_side(SLAVE);
    mif_lease_drop(second);
    ck_assert_int_eq(unmapped, 1);
    ck_assert_int_eq(memcmp(bytes, "a packet", 8), 0);
    mif_lease_drop(first);
    ck_assert_int_eq(unmapped, 2);
    close_loopback();
}

MEMIF_TEST(regions_of_the_program_are_not_unmapped)
{
    raise_with_bytes();
    struct mif_connection *conn = connection();
    struct mif_region region = conn->regions[0];
    struct mif_lease *lease = mif_lease_take(conn);

    conn->external[0] = true;
    lower_side(SLAVE);
    mif_lease_drop(lease);
    ck_assert_int_eq(unmapped, 0);
    ck_assert_int_eq(munmap(region.base, region.size), 0);
    close_loopback();
}

MEMIF_TEST(a_lease_has_room_for_all_regions)
{
    raise_with_bytes();
    struct mif_connection *conn = connection();
    struct mif_lease *lease = mif_lease_take(conn);
    void *more[MIF_MAX_REGIONS];

    for (; conn->region_count < MIF_MAX_REGIONS; conn->region_count++) {
        void *base = mmap(NULL, REGION_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(base != MAP_FAILED);
        more[conn->region_count] = base;
        conn->regions[conn->region_count] = (struct mif_region){.base = base, .size = REGION_BYTES};
    }
    lower_side(SLAVE);
    ck_assert_int_eq(unmapped, 0);
    ck_assert_int_eq(*(uint8_t *)more[MIF_MAX_REGIONS - 1], 0);
    mif_lease_drop(lease);
    ck_assert_int_eq(unmapped, MIF_MAX_REGIONS);
    close_loopback();
}

MEMIF_TEST(without_memory_there_is_no_lease)
{
    uint8_t *bytes = raise_with_bytes();

    leases.refuses = true;
    ck_assert_ptr_null(mif_lease_take(connection()));
    ck_assert_ptr_null(mif_lease_take(connection()));
    leases.refuses = false;
    struct mif_lease *lease = mif_lease_take(connection());
    ck_assert_ptr_nonnull(lease);
    lower_side(SLAVE);
    ck_assert_int_eq(memcmp(bytes, "a packet", 8), 0);
    mif_lease_drop(lease);
    ck_assert_int_eq(unmapped, 1);
    close_loopback();
}

MEMIF_TEST(a_forked_child_does_not_wait_for_who_had_the_lock)
{
    int status;

    raise_with_bytes();
    struct mif_lease *lease = mif_lease_take(connection());
    __real_pthread_mutex_lock(leases.lock); /* as another thread may at that moment */
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(10);
        mif_leases_forked();
        mif_lease_drop(lease);
        _exit(0);
    }
    __real_pthread_mutex_unlock(leases.lock);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    lower_side(SLAVE);
    mif_lease_drop(lease);
    close_loopback();
}

MEMIF_TEST_MAIN("lease")
