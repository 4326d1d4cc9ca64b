/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regions of a connection: mapped by us, or taken over as the program has mapped them.
 */
#ifndef MIF_REGIONS_H
#define MIF_REGIONS_H

#include "core/attributes.h"
#include "core/state.h"

/* The longest packet that is received, in one slot or in several. */
MIF_INLINE uint32_t mif_max_packet(const struct mif_queue *q)
{
    const uint8_t *regions = (const uint8_t *)q->regions;
    return ((const struct mif_connection *)(const void *)(regions -
                                                          offsetof(struct mif_connection, regions)))
        ->max_packet;
}

MIF_INLINE struct mif_region_cache mif_region_cache_of(const struct mif_queue *q, uint16_t index)
{
    const struct mif_region *r = &q->regions[index];
    uint32_t limit = mif_max_packet(q);
    return (struct mif_region_cache){.base = r->base,
                                     .size = r->size,
                                     .max_packet = r->size < limit ? (uint32_t)r->size : limit,
                                     .head = (uint32_t)index << 16};
}

/* For the control plane; all return a core error code, unless said. */

/* Maps size bytes of fd as region index. The fd stays the caller's. */
int mif_connection_map(void *handle, uint16_t index, int fd, uint64_t size);
/* Uses memory that the program has mapped as region index; it stays the program's. */
int mif_connection_adopt(void *handle, uint16_t index, void *base, uint64_t size);
/* Address and size of a region; size 0 = there is none. */
int mif_region_look(void *handle, uint16_t index, void **base, uint64_t *size);

/* True if [offset, offset + length) lies in a mapped region; never overflows. */
bool mif_region_holds(const struct mif_connection *conn, uint16_t region, uint64_t offset,
                      uint64_t length);
/* True if [data, data + length) lies in one region of the connection that is mapped now. Only
 * inside a burst. */
bool mif_is_mapped(const struct mif_connection *conn, const uint8_t *data, size_t length);

/* Unmaps regions and empties those that the kernel would unmap. */
int mif_regions_unmap(struct mif_region *regions, uint32_t count);
/* Unmaps those of a connection that are not the program's. */
int mif_regions_unmap_own(struct mif_connection *conn);

#endif
