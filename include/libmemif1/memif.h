/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _MEMIF_H_
#define _MEMIF_H_

/*
 * The memif protocol, version 256 (1.0): the messages on the control channel and the layout of
 * shared memory. Integers are in host byte order. The slave (client) owns the memory. The master
 * (server) listens on the socket.
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The parts of a ring header are 64 bytes apart, whatever the machine's cache lines are. */
#ifndef MEMIF_CACHELINE_SIZE
#define MEMIF_CACHELINE_SIZE 64
#endif

/* First word of every ring of this version. */
#define MEMIF_COOKIE 0x3E31F10
#define MEMIF_VERSION_MAJOR 1
#define MEMIF_VERSION_MINOR 0
#define MEMIF_VERSION ((MEMIF_VERSION_MAJOR << 8) | MEMIF_VERSION_MINOR)

typedef enum {
    MEMIF_MSG_TYPE_NONE = 0,
    MEMIF_MSG_TYPE_ACK = 1,
    MEMIF_MSG_TYPE_HELLO = 2,
    MEMIF_MSG_TYPE_INIT = 3,
    MEMIF_MSG_TYPE_ADD_REGION = 4,
    MEMIF_MSG_TYPE_ADD_RING = 5,
    MEMIF_MSG_TYPE_CONNECT = 6,
    MEMIF_MSG_TYPE_CONNECTED = 7,
    MEMIF_MSG_TYPE_DISCONNECT = 8
} memif_msg_type_t;

typedef enum {
    MEMIF_RING_S2M = 0, /* slave to master */
    MEMIF_RING_M2S = 1  /* master to slave */
} memif_ring_type_t;

typedef enum {
    MEMIF_INTERFACE_MODE_ETHERNET = 0,
    MEMIF_INTERFACE_MODE_IP = 1,
    MEMIF_INTERFACE_MODE_PUNT_INJECT = 2
} memif_interface_mode_t;

typedef uint16_t memif_region_index_t;
typedef uint64_t memif_region_offset_t; /* bytes from the start of a region */
typedef uint64_t memif_region_size_t;   /* bytes */
typedef uint16_t memif_ring_index_t;
typedef uint32_t memif_interface_id_t;
typedef uint16_t memif_version_t;
typedef uint8_t memif_log2_ring_size_t;

/* Control channel: each message is one datagram of 128 bytes, zero-padded. */

/* From the master, first. max_region and the max_*_ring fields are highest indices, not counts. */
typedef struct __attribute__((packed)) {
    uint8_t name[32];
    memif_version_t min_version;
    memif_version_t max_version;
    memif_region_index_t max_region;
    memif_ring_index_t max_m2s_ring;
    memif_ring_index_t max_s2m_ring;
    memif_log2_ring_size_t max_log2_ring_size;
} memif_msg_hello_t;

/* From the slave: selects one of the interfaces behind the socket. */
typedef struct __attribute__((packed)) {
    memif_version_t version;
    memif_interface_id_t id;
    memif_interface_mode_t mode : 8;
    uint8_t secret[24];
    uint8_t name[32];
} memif_msg_init_t;

/* From the slave: one region of shared memory. Its descriptor travels with the message. */
typedef struct __attribute__((packed)) {
    memif_region_index_t index;
    memif_region_size_t size;
} memif_msg_add_region_t;

/* Set: a slave-to-master ring. Clear: a master-to-slave ring. */
#define MEMIF_MSG_ADD_RING_FLAG_S2M (1 << 0)

/* From the slave: where one ring lies. Its eventfd travels with the message. */
typedef struct __attribute__((packed)) {
    uint16_t flags;
    memif_ring_index_t index;
    memif_region_index_t region;
    memif_region_offset_t offset;
    memif_log2_ring_size_t log2_ring_size;
} memif_msg_add_ring_t;

/* From the slave: all regions and rings are announced. */
typedef struct __attribute__((packed)) {
    uint8_t if_name[32];
} memif_msg_connect_t;

/* From the master: the rings are mapped, packets may flow. */
typedef struct __attribute__((packed)) {
    uint8_t if_name[32];
} memif_msg_connected_t;

/* From either: the connection ends. The string is a reason for people to read. */
typedef struct __attribute__((packed)) {
    uint32_t code;
    uint8_t string[96];
} memif_msg_disconnect_t;

__extension__ typedef struct __attribute__((packed)) {
    memif_msg_type_t type : 16;
    union {
        memif_msg_hello_t hello;
        memif_msg_init_t init;
        memif_msg_add_region_t add_region;
        memif_msg_add_ring_t add_ring;
        memif_msg_connect_t connect;
        memif_msg_connected_t connected;
        memif_msg_disconnect_t disconnect;
        uint8_t payload[126]; /* a message always has 128 bytes */
    };
} memif_msg_t;

/* Shared memory */

/* The packet continues in the descriptor of the next slot. */
#define MEMIF_DESC_FLAG_NEXT (1 << 0)

typedef struct {
    uint16_t flags;
    memif_region_index_t region;
    uint32_t buffer_length; /* bytes that the buffer holds */
    uint32_t length;        /* bytes of packet in the buffer */
    uint8_t reserved[4];
    memif_region_offset_t offset;
    uint64_t metadata;
} memif_desc_t;

/* Set by the receiver of a ring while it polls: the sender does not signal the eventfd then. */
#define MEMIF_RING_FLAG_MASK_INT (1 << 0)

/*
 * A ring: the header, then a power of two of descriptors. head and tail stay below the ring size.
 * The ring is empty when head == tail. The producer moves head, the consumer moves tail. The other
 * process can write to both: use atomic loads and stores.
 */
__extension__ typedef struct {
    uint32_t cookie;
    uint16_t flags;
    uint16_t head;
    uint16_t tail __attribute__((aligned(MEMIF_CACHELINE_SIZE)));
    memif_desc_t desc[] __attribute__((aligned(MEMIF_CACHELINE_SIZE)));
} memif_ring_t;

#ifdef __cplusplus
}
#endif

#endif /* _MEMIF_H_ */
