# SPDX-License-Identifier: Apache-2.0
"""A relay between a slave and a master: it passes their handshake on, and then steps aside.

Bytes and file descriptors of either end go in, a list of actions comes out, as with the machines of
handshake.py. The rules:

* A relay has a connection to each end. To the slave it looks like the master, to the master like
  the slave. The memory and the eventfds are the slave's, so packets never come here.
* Messages are passed on as they are, but for the interface id in INIT, if the two ends have
  different ones. Secrets are not looked at.
* What may come when, and from which end, is in `Relay.TRANSITIONS`. The slave sends nothing before
  the answer to its last message has passed. DISCONNECT may come from either end at any time.
* The slave's offer is checked as a master does it, with the limits that the real master gave in
  HELLO. What else the ends demand of each other (mode, secret, sizes) is left to them.
* A violation raises `ProtocolError` and closes the machine; `refuse` then gives the DISCONNECT for
  either end. When an end has gone without a word, `left` gives the one for the other.
* A machine never closes a file descriptor. Each one given to `receive` comes out again exactly
  once: in a Pass, of which a copy is to be sent and which the caller then closes, or in `fds` of
  the ProtocolError.
"""

from __future__ import annotations

import struct

from .actions import Action, Closed, Established, HandshakeMisuse, ProtocolError
from .handshake import check_version, fitting
from .offer import FD_MISSING, Offer, only_fd
from .wire import (
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Connect,
    Connected,
    Disconnect,
    Hello,
    Init,
    Message,
    UnknownTypeError,
    WireError,
    decode,
    encode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

SLAVE, MASTER = "slave", "master"
OTHER = {SLAVE: MASTER, MASTER: SLAVE}

WAIT_HELLO = "WAIT_HELLO"
GREETED = "GREETED"
ASKED = "ASKED"
ADDING = "ADDING"
CONNECTING = "CONNECTING"
CONNECTED = "CONNECTED"
CLOSED = "CLOSED"

_OPEN = (WAIT_HELLO, GREETED, ASKED, ADDING, CONNECTING, CONNECTED)
_INTERFACE_ID = 4  # where INIT has it


class Pass(Action):
    """Send these bytes to an end, with a copy of `fd` unless it is None; then close `fd`.

    `message` is what the bytes are, for checks of the descriptor; None for a message of our own.
    """

    __slots__ = ("to", "data", "fd", "message")  # noqa: RUF023 - the order of the arguments
    hidden = ("data", "message")  # an INIT contains the secret
    to: str
    data: bytes
    fd: Any
    message: Message | None


class Relay:
    """The machine of one slave and one master.

    `taken_id` is the only interface id that the slave may ask for, None for any. `given_id` is the
    one that the master is asked for instead, None for the same.
    """

    TRANSITIONS: ClassVar[dict[tuple[str, str, type[Message]], str]] = {
        (WAIT_HELLO, MASTER, Hello): "_take_hello",
        (GREETED, SLAVE, Init): "_take_init",
        (ASKED, MASTER, Ack): "_take_ack",
        (ADDING, SLAVE, AddRegion): "_take_region",
        (ADDING, SLAVE, AddRing): "_take_ring",
        (ADDING, SLAVE, Connect): "_take_connect",
        (CONNECTING, MASTER, Connected): "_take_connected",
        **{(state, end, Disconnect): "_take_disconnect" for state in _OPEN for end in OTHER},
    }

    def __init__(self, taken_id: int | None = None, given_id: int | None = None) -> None:
        """No message has come yet."""
        self.state = WAIT_HELLO
        self.taken_id = taken_id
        self.given_id = given_id
        self.version = 0
        self.names = {SLAVE: b"", MASTER: b""}
        """Of the programs."""
        self.if_names = {SLAVE: b"", MASTER: b""}
        self.interface_ids = {SLAVE: 0, MASTER: 0}
        """What the slave asked for, and what the master was asked for."""
        self._hello: Hello | None = None
        self._offered: Offer | None = None

    @property
    def offer(self) -> Offer:
        """What the slave has offered. Raises HandshakeMisuse before HELLO."""
        if self._offered is None:
            raise HandshakeMisuse("no HELLO has come yet")
        return self._offered

    @property
    def _limits(self) -> Hello:
        if self._hello is None:
            raise HandshakeMisuse("no HELLO has come yet")
        return self._hello

    def receive(self, end: str, data: bytes, fds: Sequence[Any] = ()) -> list[Action]:
        """Take one datagram of an end, and what travelled with it; return what to do about it."""
        if self.state == CLOSED:
            raise HandshakeMisuse(f"receive called in state {self.state}")
        try:
            return self._dispatch(end, data, fds)
        except ProtocolError as error:
            self.state = CLOSED
            error.fds = tuple(fds)
            raise

    def wanted_fd(self, end: str, data: bytes) -> type[Message] | None:
        """What a datagram is, if it has to come with a descriptor now; None for all others."""
        try:
            kind = type(self._decode(data))
        except ProtocolError:
            return None
        is_wanted = kind in FD_MISSING and (self.state, end, kind) in self.TRANSITIONS
        return kind if is_wanted else None

    def refuse(self, end: str, error: ProtocolError) -> list[Action]:
        """End both connections because of one end. The other hears whose fault it was."""
        return [
            *self.tell(end, error.reason),
            *self.tell(OTHER[end], f"the relay refused the {end}: {error.reason}"),
        ]

    def left(self, end: str) -> list[Action]:
        """An end has closed its connection: tell the other."""
        return self.tell(OTHER[end], f"the {end} behind the relay closed the connection")

    def disconnect(self, reason: str) -> list[Action]:
        """End both connections for a reason of our own."""
        return [*self.tell(SLAVE, reason), *self.tell(MASTER, reason)]

    def tell(self, end: str, reason: str) -> list[Action]:
        """Close the machine, and tell one end why."""
        self.state = CLOSED
        data = encode(Disconnect(0, fitting(reason)), self.version or VERSION_2)
        return [Pass(end, data, None, None)]

    def _dispatch(self, end: str, data: bytes, fds: Sequence[Any]) -> list[Action]:
        message = self._decode(data)
        handler = self.TRANSITIONS.get((self.state, end, type(message)))
        if handler is None:
            text = f"{message.label} is not allowed from the {end} in state {self.state}"
            raise ProtocolError("PROTO", text)
        fd = only_fd(message, fds)
        passed, actions = getattr(self, handler)(message, data)
        return [Pass(OTHER[end], passed, fd, message), *actions]

    def _decode(self, data: bytes) -> Message:
        try:
            # An ADD_RING before the version is agreed is refused for its time, not its layout.
            return decode(data, self.version or VERSION_2)
        except UnknownTypeError as error:
            raise ProtocolError("UNKNOWN_MSG", str(error)) from error
        except WireError as error:
            raise ProtocolError("MFMSG", str(error)) from error

    # Each of these returns the bytes to pass on, and the actions that follow.

    def _take_hello(self, hello: Hello, data: bytes) -> tuple[bytes, list[Action]]:
        self.names[MASTER] = hello.name
        self._hello = hello
        self._offered = Offer(hello.max_region)
        self.state = GREETED
        return data, []

    def _take_init(self, init: Init, data: bytes) -> tuple[bytes, list[Action]]:
        check_version(init.version, self._limits)
        wanted = init.interface_id
        if self.taken_id is not None and wanted != self.taken_id:
            raise ProtocolError("ID", f"no interface with id {wanted}")
        given = wanted if self.given_id is None else self.given_id
        self.interface_ids = {SLAVE: wanted, MASTER: given}
        self.names[SLAVE] = init.name
        self.version = init.version
        self.state = ASKED
        return data if given == wanted else _with_id(data, given), []

    def _take_ack(self, _ack: Ack, data: bytes) -> tuple[bytes, list[Action]]:
        self.state = ADDING
        return data, []

    def _take_region(self, region: AddRegion, data: bytes) -> tuple[bytes, list[Action]]:
        self.offer.add_region(region)
        self.state = ASKED
        return data, []

    def _take_ring(self, ring: AddRing, data: bytes) -> tuple[bytes, list[Action]]:
        limit = self._limits.max_s2m_ring if ring.s2m else self._limits.max_m2s_ring
        self.offer.add_ring(ring, self.version, limit + 1)
        self.state = ASKED
        return data, []

    def _take_connect(self, connect: Connect, data: bytes) -> tuple[bytes, list[Action]]:
        self.offer.check_complete()
        self.if_names[SLAVE] = connect.if_name
        self.state = CONNECTING
        return data, []

    def _take_connected(self, connected: Connected, data: bytes) -> tuple[bytes, list[Action]]:
        self.if_names[MASTER] = connected.if_name
        self.state = CONNECTED
        return data, [Established()]

    def _take_disconnect(self, message: Disconnect, data: bytes) -> tuple[bytes, list[Action]]:
        self.state = CLOSED
        return data, [Closed(message.code, message.reason)]


def _with_id(init: bytes, interface_id: int) -> bytes:
    data = bytearray(init)
    struct.pack_into("<I", data, _INTERFACE_ID, interface_id)
    return bytes(data)
