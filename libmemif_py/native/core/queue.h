/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues as the control plane sees them: building and releasing them, their mode, what they are
 * like. All return a core error code, unless said.
 */
#ifndef MIF_QUEUE_H
#define MIF_QUEUE_H

#include "core/ring.h"

struct mif_queue_config {
    uint16_t version; /* 256 or 512 */
    uint8_t is_slave;
    uint8_t is_tx;
    uint16_t qid;
    uint16_t region; /* of the ring */
    uint64_t offset;
    uint8_t log2_ring_size;
    int efd;
    /* slave only: where its buffers lie */
    uint16_t buffer_region;
    uint64_t buffer_offset;
    const uint32_t *buffer_offsets; /* NULL, or one for each slot instead of buffer_offset */
    uint8_t tailroom;               /* bytes between one buffer and the next, without offsets */
    uint8_t post_at_start;
    /* both */
    uint32_t buffer_size;
    uint8_t untrusted; /* the peer might make efd blocking; see signals.h */
};

/* As slave: writes the ring header and descriptors. As master: checks the cookie. */
int mif_connection_add_queue(void *handle, const struct mif_queue_config *config);
/* Frees what a queue has; its region stays. The connection must be down. */
void mif_queue_release(const struct mif_connection *conn, struct mif_queue *q, bool is_tx);

/* Chooses the burst functions of a queue, by its version, role and mode and by the processor's
 * features. Defined by the face that is linked in. */
void mif_face_bind(struct mif_queue *q, enum mif_direction direction);
/* Chooses how a receiving queue gives buffers back: with or without mif_room_answer afterwards. */
void mif_face_answer(struct mif_queue *q, bool answers);

/* While locked no queue goes down. */
void mif_queues_lock(void);
void mif_queues_unlock(void);
/* In a forked child: a thread that is not in it may have held the lock. */
void mif_queues_forked(void);

/* Both: DISCONNECTED and QID as for bursts. */
int mif_queue_set_polling(void *handle, uint16_t qid, int polling);
int mif_queue_efd(void *handle, uint16_t qid, int *fd);
/* Takes a late signal away from an rx queue whose program polls. */
void mif_queue_drop_signal(void *handle, uint16_t qid);
/* The eventfd of an rx queue is readable: calls the program's on_interrupt. */
int mif_queue_interrupt(void *handle, uint16_t qid);

/* For details. Indices and mode may change while they are read. */
struct mif_queue_state {
    uint16_t region, head, tail;
    uint8_t polling;
    uint32_t buffer_size; /* as configured; of a sending master: what the peer posted last */
};
int mif_queue_look(void *handle, uint16_t qid, int is_tx, struct mif_queue_state *state);

/* A ring at this moment. */
struct mif_ring_state {
    uint32_t slots;  /* of the ring */
    uint32_t usable; /* that can be in use: version 256 keeps one empty */
    struct mif_fill fill;
};
int mif_queue_ring(const void *handle, uint16_t qid, int is_tx, struct mif_ring_state *state);

#endif
