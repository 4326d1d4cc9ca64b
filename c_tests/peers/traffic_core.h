/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What traffic_v1.c and traffic_v4.c share: command line, packets, counts, the loop and the report.
 * They themselves move packets through either C API, by the functions with link_ in their
 * names.
 */

#ifndef MEMIF_C_TESTS_TRAFFIC_CORE_H
#define MEMIF_C_TESTS_TRAFFIC_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include <libmemif.h>

enum {
    BURST = 64,
    HEADER = 12, /* bytes, of each packet */
    MAX_QUEUES = 16,
    LARGEST = UINT16_MAX, /* bytes of a packet */
    MAX_LOG2_RING_SIZE = 14,
    NOTHING_TO_SEND = -1
};

/* What a sender does whose ring is full. */
enum when_full { TRY_AGAIN, WAIT, WATCH };

struct options {
    char *socket;
    bool is_master;
    uint32_t interface_id;
    uint8_t num_s2m_rings;
    uint8_t num_m2s_rings;
    uint16_t buffer_size;
    uint8_t log2_ring_size;
    char secret[24];
    bool is_polling;
    bool is_continuous;
    bool is_echo;
    bool expects_echo;
    uint32_t send;
    uint32_t expect;
    uint32_t window;
    uint32_t jumbo_every; /* 0: never */
    uint32_t huge_every;
    uint32_t fixed_size; /* 0: mixed */
    uint16_t headroom;
    enum when_full when_full;
};

struct tx_queue {
    uint32_t sent;
    uint64_t bytes;
    uint32_t moved; /* of the packets sent, those that were not copied */
};

struct rx_queue {
    bool has_run;
    uint32_t run;
    uint32_t next;
    uint32_t received;
    uint64_t bytes;
};

struct program {
    struct options options;
    uint32_t connections;
    uint16_t tx_count; /* queues of this connection */
    uint16_t rx_count;
    bool is_connected;
    struct tx_queue tx[MAX_QUEUES];
    struct rx_queue rx[MAX_QUEUES];
};

extern struct program program;

/* From the command line; ends the program when it cannot be understood. */
void take_options(struct options *options, int argc, char **argv);

__attribute__((format(printf, 1, 2))) void fault(const char *format, ...);
/* True for a success; else a fault. */
bool check(const char *call, int err);

uint16_t size_of(uint32_t number);
/* Writes `size` bytes. */
void make_packet(uint8_t *at, uint32_t number, uint16_t size, uint16_t qid);
void check_packet(struct rx_queue *queue, uint16_t qid, const uint8_t *packet, uint32_t len);
/* The next packets of a queue that may go out now, BURST at most; or NOTHING_TO_SEND. */
int wanted_to_send(uint16_t qid);

/* For on_connect, and the other callbacks themselves. */
void connected(uint16_t rx_count, uint16_t tx_count);
int on_disconnect(memif_conn_handle_t handle, void *private_ctx);
int on_interrupt(memif_conn_handle_t handle, void *private_ctx, uint16_t qid);

/* ---- by either API ---- */

/* Creates the interface; link_close follows also when it failed. */
bool link_open(void);
void link_close(void);
/* One turn of the library's polling. */
void link_poll(int timeout);
void link_cancel(void);

/* What is received and waits for room to be sent back gets no interrupt. */
bool link_is_holding(uint16_t qid);
/* Both return how many packets, or pieces of packets, they moved. */
uint16_t link_receive(uint16_t qid);
uint16_t link_send(uint16_t qid, uint16_t wanted);
/* For the functions that both APIs have. */
memif_conn_handle_t link_handle(void);

#endif
