# SPDX-License-Identifier: Apache-2.0
"""exchanges.py SOCKET: packets between two interfaces by each way that the package has; says
"good". It imports what is installed, by the interpreter that runs it."""

import sys

from libmemif_py import Interface


def with_copies(one: Interface, other: Interface) -> list[bytes]:
    """By the functions of the cffi module."""
    one.send(b"packet", 20)
    return [other.recv(20)]


def without_copies(one: Interface, other: Interface) -> list[bytes]:
    """By the module _burst, which lies in the same file as the cffi module."""
    with one.tx_burst(2, 6, timeout=20) as burst:
        for number in range(2):
            burst[number][:] = b"burst%d" % number
    with other.rx_burst(2, timeout=20) as burst:
        return [bytes(packet) for packet in burst]


def main(socket: str) -> None:
    """Both ways, in both directions."""
    with (
        Interface(socket, role="master", id=5) as master,
        Interface(socket, role="slave", id=5) as slave,
    ):
        slave.wait_connected(20)
        for one, other in ((slave, master), (master, slave)):
            got = with_copies(one, other) + without_copies(one, other)
            if got != [b"packet", b"burst0", b"burst1"]:
                raise SystemExit(f"sent packet, burst0, burst1; got {got}")
    print("good")


main(sys.argv[1])
