// SPDX-License-Identifier: Apache-2.0
// A C++ program against the public headers of 4.0: it compiles, and it links to the C symbols.

#include <cstddef>
#include <type_traits>

#include <memif.h>

#include <libmemif.h>

namespace
{

using Alloc = int (*)(memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t, uint16_t *,
                      uint16_t);

static_assert(sizeof(memif_socket_args_t) == 208, "memif_socket_args_t");
static_assert(sizeof(memif_conn_args_t) == 80, "memif_conn_args_t");
static_assert(sizeof(memif_buffer_t) == 32, "memif_buffer_t");
static_assert(sizeof(memif_details_t) == 120, "memif_details_t");
static_assert(sizeof(memif_fd_event_t) == 16, "memif_fd_event_t");
static_assert(sizeof(memif_msg_t) == 128, "memif_msg_t");
static_assert(sizeof(memif_desc_t) == 16, "memif_desc_t");
static_assert(sizeof(memif_ring_t) == 128, "memif_ring_t");
static_assert(offsetof(memif_ring_t, tail) == 64, "memif_ring_t.tail");
static_assert(std::is_function<memif_control_fd_update_t>::value, "a function type");
static_assert(std::is_function<memif_connection_update_t>::value, "a function type");
static_assert(std::is_function<memif_on_interrupt_t>::value, "a function type");
static_assert(std::is_function<memif_add_external_region_t>::value, "a function type");
static_assert(std::is_same<decltype(&memif_buffer_alloc), Alloc>::value, "a function");
static_assert(std::is_enum<memif_fd_event_type>::value, "an enumeration with a tag");
static_assert(std::is_class<memif_socket_args>::value, "a structure with a tag");

int create_without_socket()
{
    memif_conn_handle_t conn = nullptr;
    memif_conn_args_t args = {};

    args.mode = MEMIF_INTERFACE_MODE_IP;
    return memif_create(&conn, &args, nullptr, nullptr, nullptr, nullptr);
}

int serve_two_events()
{
    return memif_control_fd_handler(
        nullptr, static_cast<memif_fd_event_type_t>(MEMIF_FD_EVENT_READ | MEMIF_FD_EVENT_ERROR));
}

} // namespace

int main()
{
    memif_buffer_t buffer = {};
    uint16_t count = 0;

    if (memif_buffer_alloc(nullptr, 0, &buffer, 1, &count, 9000) != MEMIF_ERR_NOCONN)
        return 1;
    if (create_without_socket() != MEMIF_ERR_INVAL_ARG)
        return 2;
    if (serve_two_events() != MEMIF_ERR_INVAL_ARG)
        return 3;
    if (memif_get_socket_path(nullptr) != nullptr || memif_get_listener_fd(nullptr) != -1)
        return 4;
    return 0;
}
