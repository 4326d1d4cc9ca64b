# SPDX-License-Identifier: Apache-2.0
"""dpdk-testpmd and our programs, on sockets in one folder."""

import contextlib
import time
from collections.abc import Iterator

from testpmd import Testpmd, memif_vdev

from libmemif_py import Interface
from support.packets import TIMEOUT, Pinger, ping_all_sizes, pinger, responder_ip
from support.programs import Launcher

# The role of testpmd, and the keys of its device.
DEVICES = {
    "server": ("server", {}),
    "client": ("client", {}),
    "client_zero_copy": ("client", {"zero_copy": "yes"}),
}
OWN_ROLE = {"server": "slave", "client": "master"}
# Packets that come before the start of forwarding are packets like others.
FORWARDING = ["--no-flush-rx"]


def own_role(device: str) -> str:
    return OWN_ROLE[DEVICES[device][0]]


class Peers(Launcher):
    """Our programs, and testpmd in their folder."""

    def testpmd(
        self, device: str, mode: str, *arguments: str, ports: int = 1, eal_args=(), **keys: str
    ) -> Testpmd:
        """A testpmd with so many interfaces, ids from 0 on.

        Only the last one exports its packets' memory: DPDK 22.11 closes the descriptor of that
        memory once it has sent it, and then has none for another interface.
        """
        role, export = DEVICES[device]
        abstract = "yes" if self.socket.startswith("@") else "no"
        vdevs = [
            memif_vdev(
                role,
                self.socket_of(device, port).removeprefix("@"),
                port,
                socket_abstract=abstract,
                **(export if port == ports - 1 else {}),
                **keys,
            )
            for port in range(ports)
        ]
        one_file = ["--single-file-segments"] if export else []
        arguments = [f"--forward-mode={mode}", *FORWARDING, *arguments]
        return Testpmd(vdevs, arguments, [*one_file, *eal_args])

    def socket_of(self, device: str, port: int) -> str:
        """A server has all its ports on one socket; our masters are processes of their own."""
        return self.socket if device == "server" or port == 0 else f"{self.socket}{port}"

    @contextlib.contextmanager
    def in_order(self, device: str, ours, testpmd: Testpmd, ports: int = 1) -> Iterator[tuple]:
        """Start whichever is the master first: testpmd looks for its server only once.

        Forwarding ends before we leave, and testpmd after it has noticed: DPDK unmaps the rings of
        a peer that left without regard to a core that forwards on them, or to a port that closes.
        """
        if device == "server":
            with testpmd:
                with ours() as own:
                    yield own, testpmd
                    testpmd.command("stop")
                wait_until_down(testpmd, ports)
        else:
            with ours() as own, testpmd:
                yield own, testpmd
                testpmd.command("stop")

    def interface(self, device: str, **settings) -> Interface:
        return Interface(self.socket, role=own_role(device), **settings)

    def responder_behind(self, device: str, name: str = "icmp_responder"):
        """A responder for port 1."""
        role = own_role(device)
        return self.responder(name, role, index=1, path=self.socket_of(device, 1))


def wait_for_links(testpmd: Testpmd, ports: int = 1) -> None:
    for port in range(ports):
        testpmd.wait_for_link(port=port)


def wait_until_down(testpmd: Testpmd, ports: int = 1) -> None:
    end = time.monotonic() + TIMEOUT
    while any(testpmd.link_is_up(port) for port in range(ports)):
        assert time.monotonic() < end


def ping_through(interface: Interface, queue: int = 0) -> Pinger:
    """Ping the responder behind the other port."""
    asker = pinger(interface, responder_ip(1), queue)
    # A packet for a port that has not begun to receive is lost.
    asker.resolve(attempts=30)
    ping_all_sizes(asker)
    return asker
