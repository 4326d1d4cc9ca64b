/* SPDX-License-Identifier: Apache-2.0 */
#include "chains.h"

#include "cases.h"
#include "payload.h"

uint16_t chains_move(const memif_buffer_t *from, memif_buffer_t *to, uint16_t to_count, bool copy)
{
    uint16_t used = 0;
    uint32_t from_at = 0;
    bool at_start = true;

    for (uint16_t i = 0; i < to_count; i++) {
        uint32_t room = api_room(&to[i]);
        uint32_t filled = 0;
        bool ended = false;
        if (at_start)
            stamp_write(to[i].data, stamp_read(from[used].data));
        while (!ended && filled < room) {
            uint32_t left = api_length(&from[used]) - from_at;
            uint32_t length = left < room - filled ? left : room - filled;
            if (copy)
                payload_copy((uint8_t *)to[i].data + filled,
                             (const uint8_t *)from[used].data + from_at, length);
            filled += length;
            from_at += length;
            if (from_at == api_length(&from[used])) {
                ended = !api_continues(&from[used]);
                from_at = 0;
                used++;
            }
        }
        api_set_length(&to[i], filled);
        at_start = !api_continues(&to[i]);
    }
    return used;
}

uint32_t chains_length(const memif_buffer_t *bufs)
{
    uint32_t length = api_length(bufs);

    while (api_continues(bufs))
        length += api_length(++bufs);
    return length;
}
