/* SPDX-License-Identifier: Apache-2.0 */
#include "core/regions.h"

#include "core/arena.h"
#include "core/errors.h"

#include <errno.h>
#include <sys/mman.h>

static void set_region(struct mif_connection *conn, uint16_t index, struct mif_region region)
{
    conn->regions[index] = region;
    if (index >= conn->region_count)
        conn->region_count = (uint16_t)(index + 1);
}

int mif_connection_map(void *handle, uint16_t index, int fd, uint64_t size)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    if (index >= MIF_MAX_REGIONS || conn->regions[index].size != 0 || size == 0)
        return MIF_ERR_MAXREG;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return mif_call_failed("mmap");
    set_region(conn, index, (struct mif_region){.base = base, .size = size});
    return MIF_ERR_SUCCESS;
}

int mif_connection_adopt(void *handle, uint16_t index, void *base, uint64_t size)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    if (index >= MIF_MAX_REGIONS || conn->regions[index].size != 0 || size == 0 || base == NULL)
        return MIF_ERR_MAXREG;
    set_region(conn, index, (struct mif_region){.base = base, .size = size});
    conn->external[index] = true;
    return MIF_ERR_SUCCESS;
}

int mif_region_look(void *handle, uint16_t index, void **base, uint64_t *size)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || index >= MIF_MAX_REGIONS)
        return MIF_ERR_MAXREG;
    *base = conn->regions[index].base;
    *size = conn->regions[index].size;
    return MIF_ERR_SUCCESS;
}

bool mif_region_holds(const struct mif_connection *conn, uint16_t region, uint64_t offset,
                      uint64_t length)
{
    if (region >= MIF_MAX_REGIONS)
        return false;
    uint64_t size = conn->regions[region].size;
    return length <= size && offset <= size - length;
}

bool mif_is_mapped(const struct mif_connection *conn, const uint8_t *data, size_t length)
{
    for (uint32_t i = 0; i < conn->region_count; i++) {
        const struct mif_region *r = &conn->regions[i];
        uintptr_t at = (uintptr_t)data - (uintptr_t)r->base;
        if (length <= r->size && at <= r->size - length)
            return true;
    }
    return false;
}

/* Unmapping takes memory of the kernel's. Where it has none, it may have some when the other
 * regions are gone. */
int mif_regions_unmap(struct mif_region *regions, uint32_t count)
{
    int err = MIF_ERR_SUCCESS;
    for (int attempts = 0; attempts < 2; attempts++) {
        err = MIF_ERR_SUCCESS;
        for (uint32_t i = 0; i < count; i++) {
            if (regions[i].size == 0)
                continue;
            if (munmap(regions[i].base, regions[i].size) == 0)
                regions[i].size = 0;
            else
                err = mif_error_from_errno(errno);
        }
    }
    return err;
}

int mif_regions_unmap_own(struct mif_connection *conn)
{
    for (uint32_t i = 0; i < conn->region_count; i++)
        if (conn->external[i])
            conn->regions[i].size = 0;
    return mif_regions_unmap(conn->regions, conn->region_count);
}
