# SPDX-License-Identifier: Apache-2.0
"""Scapy over memif; needs `pip install scapy`. Scapy is under the GPL.

    from scapy.all import ARP, Ether
    from libmemif_py.adapters.scapy import MemifSocket

    with MemifSocket("/run/vpp/memif.sock", role="master") as sock:
        sock.interface.wait_connected()
        answer = sock.sr1(Ether() / ARP(pdst="192.168.1.2"), timeout=1)

`sniff(opened_socket=sock)` and `sendp(packet, socket=sock)` work as with every socket of Scapy. An
AnsweringMachine takes both arguments: `machine(opened_socket=sock, socket=sock)`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scapy.data import MTU
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.supersocket import SuperSocket

from .. import errors
from ..errors import Timeout
from ..interface import Interface

if TYPE_CHECKING:
    import os

    from scapy.packet import Packet


class MemifSocket(SuperSocket):
    """One queue of an interface as a Scapy socket. Packets are Ether, or IP in mode "ip".

    Args:
        interface: an Interface, which the caller closes, or a path. For a path, this socket makes
            and closes the Interface.
        queue: the queue to receive from and to send on.
        send_timeout: seconds to wait for the link and for room; None for no limit.
        options: the other arguments of Interface, if `interface` is a path.
    """

    desc = "send and receive packets over memif"

    def __init__(
        self,
        interface: Interface | str | os.PathLike[str],
        *,
        queue: int = 0,
        send_timeout: float | None = 5.0,
        **options: Any,
    ) -> None:
        """See the class."""
        self._owns = not isinstance(interface, Interface)
        if isinstance(interface, Interface):
            if options:
                raise TypeError(f"options {sorted(options)} for an interface that is made already")
            self.interface = interface
        else:
            self.interface = Interface(interface, **options)
        self._queue = queue
        self._send_timeout = send_timeout
        self.ins = self.outs = self.interface  # type: ignore[assignment]
        self.iface = str(self.interface)
        self.promisc = True
        self.basecls = IP if self.interface.details().mode == "ip" else Ether

    def __repr__(self) -> str:
        """Its interface and queue."""
        return f"<MemifSocket on queue {self._queue} of {self.interface!r}>"

    def fileno(self) -> int:
        """A descriptor for select. It may be ready without a packet; see Interface.fileno."""
        return self.interface.fileno(self._queue)

    def recv_raw(self, x: int = MTU) -> tuple[type[Packet] | None, bytes | None, float | None]:
        """Class, bytes (at most `x`) and time of the next packet; three Nones if there is none."""
        try:
            packet = self.interface.recv(0, queue=self._queue)
        except (Timeout, errors.Disconnected):
            return None, None, None
        return self.basecls, packet[:x], time.time()

    def send(self, x: Packet | bytes) -> int:
        """Send a packet. Returns its length in bytes. Raises Timeout, Disconnected."""
        data = bytes(x)
        if not isinstance(x, bytes):
            x.sent_time = time.time()
        self.interface.send(data, self._send_timeout, queue=self._queue)
        return len(data)

    def close(self) -> None:
        """Close the interface if this socket made it."""
        self.closed = True
        if self._owns:
            self.interface.close()
