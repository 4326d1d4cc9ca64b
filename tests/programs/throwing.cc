// SPDX-License-Identifier: Apache-2.0
// A C++ program whose callbacks throw: `throwing SOCKET interrupt|connect`. An exception of
// on_interrupt leaves memif_poll_event like any function; one of another callback ends the program
// where it is thrown. API_V4 says which interface.
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <unistd.h>

#include <libmemif.h>

namespace
{

bool throws_in_connect;
bool throws_in_interrupt;
int ups;
int interrupts;

int on_connect(memif_conn_handle_t conn, void *)
{
    ups++;
    if (throws_in_connect)
        throw std::runtime_error("on_connect");
#ifdef API_V4
    (void)memif_refill_queue(conn, 0, UINT16_MAX, 0);
#else
    (void)conn;
#endif
    return 0;
}

int on_disconnect(memif_conn_handle_t, void *)
{
    ups--;
    return 0;
}

int on_interrupt(memif_conn_handle_t, void *, uint16_t)
{
    if (!throws_in_interrupt)
        return 0;
    interrupts++;
    throw std::runtime_error("on_interrupt");
}

void must(int err, const char *what)
{
    if (err == 0)
        return;
    std::fprintf(stderr, "throwing: %s: %s\n", what, memif_strerror(err));
    _exit(2);
}

#ifdef API_V4
memif_socket_handle_t master_socket, slave_socket;

void open_sockets(const char *path)
{
    memif_socket_args_t args = {};
    std::strcpy(args.path, path);
    must(memif_create_socket(&master_socket, &args, nullptr), "memif_create_socket");
    must(memif_create_socket(&slave_socket, &args, nullptr), "memif_create_socket");
}

void close_sockets()
{
    must(memif_delete_socket(&slave_socket), "memif_delete_socket");
    must(memif_delete_socket(&master_socket), "memif_delete_socket");
}

void poll_once(int timeout)
{
    must(memif_poll_event(master_socket, 0), "memif_poll_event");
    must(memif_poll_event(slave_socket, timeout), "memif_poll_event");
}
#else
char *socket_path;

void open_sockets(char *path)
{
    socket_path = path;
    must(memif_init(nullptr, nullptr), "memif_init");
}

void close_sockets()
{
    must(memif_cleanup(), "memif_cleanup");
}

void poll_once(int timeout)
{
    must(memif_poll_event(timeout), "memif_poll_event");
}
#endif

memif_conn_handle_t create(bool is_master)
{
    memif_conn_handle_t conn = nullptr;
    memif_conn_args_t args = {};
    args.is_master = is_master;
#ifdef API_V4
    args.socket = is_master ? master_socket : slave_socket;
#else
    args.socket_filename = reinterpret_cast<uint8_t *>(socket_path);
#endif
    must(memif_create(&conn, &args, on_connect, on_disconnect, on_interrupt, nullptr),
         "memif_create");
    return conn;
}

void send_one(memif_conn_handle_t from)
{
    memif_buffer_t buf;
    uint16_t count = 0;
    must(memif_buffer_alloc(from, 0, &buf, 1, &count, 64), "memif_buffer_alloc");
#ifdef API_V4
    buf.len = 64;
#else
    buf.data_len = 64;
#endif
    must(memif_tx_burst(from, 0, &buf, 1, &count), "memif_tx_burst");
}

/* The wake-up stays until the packet is received, so each turn is an interrupt again. */
void be_interrupted(memif_conn_handle_t from)
{
    enum { TIMES = 1000 };
    int caught = 0;
    throws_in_interrupt = true;
    send_one(from);
    while (caught < TIMES) {
        try {
            poll_once(1000);
        } catch (const std::runtime_error &) {
            caught++;
        }
    }
    if (interrupts != TIMES)
        must(1, "as many exceptions as interrupts");
    throws_in_interrupt = false;
}

} // namespace

int main(int, char **argv)
{
    throws_in_connect = std::strcmp(argv[2], "connect") == 0;
    open_sockets(argv[1]);
    memif_conn_handle_t master = create(true);
    memif_conn_handle_t slave = create(false);
    while (ups < 2)
        poll_once(100);
    be_interrupted(slave);
    /* Nothing is held that these would wait for. */
    must(memif_delete(&slave), "memif_delete");
    while (ups > 0)
        poll_once(100);
    must(memif_delete(&master), "memif_delete");
    close_sockets();
    std::puts("done");
    return 0;
}
