# SPDX-License-Identifier: Apache-2.0
"""leaving_peer.py SOCKET ROLE QUEUES COUNT: sends COUNT packets on each queue, says "sent",
and stays until a line on stdin: then it closes its interface, unless it is killed before."""

import os
import sys

from libmemif_py import Interface

# Of buffers of 2048 bytes; the last ones take several.
SIZES = (1, 64, 1500, 2048, 2049, 9000)


def packet(number: int) -> bytes:
    """The contents of a packet of a queue."""
    size = SIZES[number % len(SIZES)]
    return (number.to_bytes(4, "big") * (size // 4 + 1))[:size]


def main(socket: str, role: str, queues: int, count: int) -> None:
    """See above."""
    with Interface(
        socket,
        role=role,
        name="leaving",
        s2m_rings=queues,
        m2s_rings=queues,
        version=int(os.environ["LIBMEMIF_PROTOCOL"]),
    ) as interface:
        interface.wait_connected(60)
        for queue in range(queues):
            for number in range(count):
                interface.send(packet(number), 60, queue=queue)
        print("sent", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:5]))
