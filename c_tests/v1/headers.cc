// SPDX-License-Identifier: Apache-2.0
// A C++ program against both public headers: it compiles, and it links to the C symbols.

#include <cstddef>
#include <type_traits>

#include <libmemif.h>
#include <memif.h>

namespace
{

using Alloc = int (*)(memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t, uint16_t *,
                      uint16_t);

static_assert(sizeof(memif_conn_args_t) == 112, "memif_conn_args_t");
static_assert(sizeof(memif_buffer_t) == 24, "memif_buffer_t");
static_assert(sizeof(memif_details_t) == 96, "memif_details_t");
static_assert(sizeof(memif_msg_t) == 128, "memif_msg_t");
static_assert(sizeof(memif_desc_t) == 32, "memif_desc_t");
static_assert(sizeof(memif_ring_t) == 128, "memif_ring_t");
static_assert(offsetof(memif_ring_t, tail) == 64, "memif_ring_t.tail");
static_assert(std::is_function<memif_control_fd_update_t>::value, "a function type");
static_assert(std::is_function<memif_connection_update_t>::value, "a function type");
static_assert(std::is_function<memif_interrupt_t>::value, "a function type");
static_assert(std::is_same<decltype(&memif_buffer_alloc), Alloc>::value, "one function, no macro");

constexpr uint16_t kPacketSize = 9000;

int alloc_without_size(uint16_t *count)
{
    memif_buffer_t buffer = {};
    return memif_buffer_alloc(nullptr, 0, &buffer, 1, count);
}

int alloc_with_size(uint16_t *count)
{
    memif_buffer_t buffer = {};
    return memif_buffer_alloc(nullptr, 0, &buffer, 1, count, kPacketSize);
}

int alloc_by_pointer(uint16_t *count)
{
    const Alloc alloc = &memif_buffer_alloc;
    memif_buffer_t buffer = {};
    return alloc(nullptr, 0, &buffer, 1, count, 0);
}

} // namespace

int main()
{
    uint16_t count = 0;

    if (alloc_without_size(&count) != MEMIF_ERR_NOCONN)
        return 1;
    if (alloc_with_size(&count) != MEMIF_ERR_NOCONN)
        return 2;
    if (alloc_by_pointer(&count) != MEMIF_ERR_NOCONN)
        return 3;
    return 0;
}
