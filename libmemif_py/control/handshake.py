# SPDX-License-Identifier: Apache-2.0
"""How a memif connection comes up: one state machine for the master, one for the slave.

Bytes and file descriptors go in, a list of actions (actions.py) comes out. A machine uses no
sockets, memory or clocks. Its caller performs the actions in order, and drops the rest of a list
when one of them fails. The rules:

* The master speaks first (HELLO). After that the slave asks and the master answers: INIT,
  ADD_REGION and ADD_RING get ACK, CONNECT gets CONNECTED. A slave sends nothing before the answer
  to its last message.
* Two messages are answered in two steps, because the caller has work to do in between. HELLO gives
  a slave's caller `Prepare`; when its memory is there it calls `offer`, which gives INIT. CONNECT
  gives a master's caller `Establish`; when the memory is mapped it calls `accept`, which gives
  CONNECTED.
* The slave offers its regions, then its S2M rings, then its M2S rings, then CONNECT. The master
  does not insist on that order, only that CONNECT comes last and finds everything complete.
* HELLO is sent before the master knows which interface is meant. So its limits are what any of the
  interfaces allows, except for the number of rings, which may depend on the peer (peers.py). INIT
  selects one interface, and from then on the limits of that one hold.
* DISCONNECT may come from either side at any time. It is the only message once the connection is
  up.
* What may come when is in the tables `MasterHandshake.TRANSITIONS` and
  `SlaveHandshake.TRANSITIONS`. Anything that is not there is a violation by the peer.
* A violation raises `ProtocolError` and closes the machine. `refuse` then gives the DISCONNECT to
  send. Calling a machine at the wrong time raises `HandshakeMisuse`.
* A machine never closes a file descriptor. Each one given to `receive` comes out again exactly
  once: in an action, or in `fds` of the ProtocolError raised. A HandshakeMisuse takes nothing: the
  descriptors are still the caller's. Those given to `offer` stay the caller's: a Send names one of
  which a copy is to be sent, and the caller closes it when it no longer needs it.
"""

from __future__ import annotations

from .actions import (
    Closed,
    Establish,
    Established,
    HandshakeMisuse,
    Prepare,
    ProtocolError,
    Select,
    Send,
    TakeRegion,
    TakeRing,
)
from .offer import FD_MISSING, Offer, check_ring_size, only_fd
from .wire import (
    DISCONNECT_SIZE,
    MAX_LOG2_RING_SIZE,
    MAX_REGION_INDEX,
    MAX_RING_INDEX,
    MODE_NAMES,
    VERSION_1,
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
    secrets_equal,
    up_to_nul,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar, Protocol

    from .actions import Action

    class MasterSettings(Protocol):
        """What a master interface demands and allows."""

        if_name: bytes
        mode: int
        secret: bytes
        num_s2m_rings: int
        num_m2s_rings: int
        min_version: int
        max_version: int

    class SlaveSettings(Protocol):
        """What a slave interface wants from its master."""

        app_name: bytes
        if_name: bytes
        interface_id: int
        mode: int
        secret: bytes
        num_s2m_rings: int
        num_m2s_rings: int
        log2_ring_size: int
        min_version: int
        max_version: int


NEW = "NEW"
HELLO_SENT = "HELLO_SENT"
ADDING = "ADDING"
MAPPING = "MAPPING"
WAIT_HELLO = "WAIT_HELLO"
PREPARING = "PREPARING"
INIT_SENT = "INIT_SENT"
OFFERING = "OFFERING"
CONNECT_SENT = "CONNECT_SENT"
CONNECTED = "CONNECTED"
CLOSED = "CLOSED"


class _Handshake:
    """What both machines share: the dispatch through the table, and the ways to end."""

    TRANSITIONS: ClassVar[dict[tuple[str, type[Message]], str]]

    def __init__(self, state: str) -> None:
        self.state = state
        self.version = 0
        self.remote_name = b""
        self.remote_if_name = b""

    def receive(self, data: bytes, fds: Sequence[Any] = ()) -> list[Action]:
        """Take one datagram and what travelled with it; return what to do about it."""
        if self.state in (NEW, CLOSED):
            raise HandshakeMisuse(f"receive called in state {self.state}")
        try:
            return self._dispatch(data, fds)
        except ProtocolError as error:
            self.state = CLOSED
            error.fds = tuple(fds)
            raise

    def wanted_fd(self, data: bytes) -> type[Message] | None:
        """What a datagram is, if it has to come with a descriptor now; None for all others."""
        try:
            kind = type(self._decode(data))
        except ProtocolError:
            return None
        return kind if kind in FD_MISSING and (self.state, kind) in self.TRANSITIONS else None

    def disconnect(self, reason: bytes | str) -> list[Send]:
        """End the connection for our own reasons, whatever the state."""
        self.state = CLOSED
        return [self._send(Disconnect(0, fitting(reason)))]

    def refuse(self, error: ProtocolError) -> list[Send]:
        """End the connection because of the peer, and tell it why."""
        return self.disconnect(error.reason)

    def _dispatch(self, data: bytes, fds: Sequence[Any]) -> list[Action]:
        message = self._decode(data)
        handler = self.TRANSITIONS.get((self.state, type(message)))
        if handler is None:
            raise ProtocolError("PROTO", f"{message.label} is not allowed in state {self.state}")
        return getattr(self, handler)(message, only_fd(message, fds))

    def _decode(self, data: bytes) -> Message:
        try:
            # An ADD_RING before the version is agreed is refused for its time, not its layout.
            return decode(data, self.version or VERSION_2)
        except UnknownTypeError as error:
            raise ProtocolError("UNKNOWN_MSG", str(error)) from error
        except WireError as error:
            raise ProtocolError("MFMSG", str(error)) from error

    def _send(self, message: Message, fd: Any = None) -> Send:
        return Send(encode(message, self.version), fd)

    def _take_disconnect(self, message: Disconnect, _fd: None) -> list[Action]:
        self.state = CLOSED
        return [Closed(message.code, message.reason)]

    def _require_state(self, call: str, *allowed: str) -> None:
        if self.state not in allowed:
            raise HandshakeMisuse(
                f"{call} called in state {self.state}, not {' or '.join(allowed)}"
            )


class MasterHandshake(_Handshake):
    """The master's side of one control connection.

    `find_interface` is called with the interface id of INIT. It returns the interface's settings,
    or raises ProtocolError with ID, ACCSLAVE or ALRCONN. After CONNECT, `regions` maps index to
    size, `s2m` and `m2s` map index to AddRing; both sets of rings are complete from 0 on.
    """

    TRANSITIONS: ClassVar[dict[tuple[str, type[Message]], str]] = {
        (HELLO_SENT, Init): "_take_init",
        (ADDING, AddRegion): "_take_region",
        (ADDING, AddRing): "_take_ring",
        (ADDING, Connect): "_take_connect",
        (HELLO_SENT, Disconnect): "_take_disconnect",
        (ADDING, Disconnect): "_take_disconnect",
        (MAPPING, Disconnect): "_take_disconnect",
        (CONNECTED, Disconnect): "_take_disconnect",
    }

    def __init__(
        self,
        app_name: bytes,
        find_interface: Callable[[int], MasterSettings],
        *,
        min_version: int = VERSION_1,
        max_version: int = VERSION_2,
        num_s2m_rings: int = MAX_RING_INDEX + 1,
        num_m2s_rings: int = MAX_RING_INDEX + 1,
    ) -> None:
        """Prepare to say HELLO as `app_name`, with these limits."""
        super().__init__(NEW)
        self._find_interface = find_interface
        self._hello = Hello(
            name=app_name,
            min_version=min_version,
            max_version=max_version,
            max_region=MAX_REGION_INDEX,
            max_m2s_ring=num_m2s_rings - 1,
            max_s2m_ring=num_s2m_rings - 1,
            max_log2_ring_size=MAX_LOG2_RING_SIZE,
        )
        self.settings: MasterSettings | None = None
        self._offer = Offer(self._hello.max_region)
        self.regions = self._offer.regions
        self.s2m = self._offer.s2m
        self.m2s = self._offer.m2s

    @property
    def _chosen(self) -> MasterSettings:
        """The settings of the interface that INIT named."""
        if self.settings is None:
            raise HandshakeMisuse("no INIT has named an interface yet")
        return self.settings

    def start(self) -> list[Action]:
        """Greet a peer that has just connected."""
        self._require_state("start", NEW)
        self.state = HELLO_SENT
        return [self._send(self._hello)]

    def accept(self) -> list[Action]:
        """Answer CONNECT: the queues that Establish asked for are mapped and good."""
        self._require_state("accept", MAPPING)
        self.state = CONNECTED
        return [self._send(Connected(self._chosen.if_name)), Established()]

    def _take_init(self, init: Init, _fd: None) -> list[Action]:
        check_version(init.version, self._hello)
        settings = self._find_interface(init.interface_id)
        check_version(init.version, settings)
        _check_mode(init.mode, settings.mode)
        _check_secret(init.secret, settings.secret)
        self.version = init.version
        self.remote_name = init.name
        self.settings = settings
        self.state = ADDING
        return [Select(), self._send(Ack())]

    def _take_region(self, region: AddRegion, fd: Any) -> list[Action]:
        self._offer.add_region(region)
        return [TakeRegion(region.index, region.size, fd), self._send(Ack())]

    def _take_ring(self, ring: AddRing, fd: Any) -> list[Action]:
        self._offer.add_ring(ring, self.version, self._allowed(ring))
        if ring.private_hdr_size:
            size = ring.private_hdr_size
            raise ProtocolError("PRIVHDR", f"private headers of {size} bytes, only 0 supported")
        return [TakeRing(ring, fd), self._send(Ack())]

    def _allowed(self, ring: AddRing) -> int:
        if ring.s2m:
            return min(self._chosen.num_s2m_rings, self._hello.max_s2m_ring + 1)
        return min(self._chosen.num_m2s_rings, self._hello.max_m2s_ring + 1)

    def _take_connect(self, connect: Connect, _fd: None) -> list[Action]:
        self._offer.check_complete()
        self.remote_if_name = connect.if_name
        self.state = MAPPING
        return [Establish()]


class SlaveHandshake(_Handshake):
    """The slave's side of one control connection. It has nothing to say before HELLO comes."""

    TRANSITIONS: ClassVar[dict[tuple[str, type[Message]], str]] = {
        (WAIT_HELLO, Hello): "_take_hello",
        (INIT_SENT, Ack): "_send_next",
        (OFFERING, Ack): "_send_next",
        (CONNECT_SENT, Connected): "_take_connected",
        (WAIT_HELLO, Disconnect): "_take_disconnect",
        (PREPARING, Disconnect): "_take_disconnect",
        (INIT_SENT, Disconnect): "_take_disconnect",
        (OFFERING, Disconnect): "_take_disconnect",
        (CONNECT_SENT, Disconnect): "_take_disconnect",
        (CONNECTED, Disconnect): "_take_disconnect",
    }

    def __init__(self, settings: SlaveSettings) -> None:
        """Prepare to ask for what `settings` say."""
        super().__init__(WAIT_HELLO)
        self.settings = settings
        self._wanted: Prepare | None = None
        self._unsent: list[Send] = []

    @property
    def _prepare(self) -> Prepare:
        if self._wanted is None:
            raise HandshakeMisuse("no HELLO has come yet")
        return self._wanted

    def offer(
        self,
        regions: Sequence[tuple[int, Any]],
        s2m: Sequence[tuple[int, int, Any]],
        m2s: Sequence[tuple[int, int, Any]],
    ) -> list[Action]:
        """Answer HELLO, with what Prepare asked for.

        Regions are (size, fd), rings (region, offset, fd), by index. Raises ProtocolError when the
        master does not allow so many regions.
        """
        self._require_state("offer", PREPARING)
        self._check_offer(regions, s2m, m2s)
        self._unsent = [
            *(self._send(AddRegion(i, size), fd) for i, (size, fd) in enumerate(regions)),
            *(self._send_ring(True, i, ring) for i, ring in enumerate(s2m)),
            *(self._send_ring(False, i, ring) for i, ring in enumerate(m2s)),
        ]
        self.state = INIT_SENT
        return [self._send(self._init())]

    def _take_hello(self, hello: Hello, _fd: None) -> list[Action]:
        self.remote_name = hello.name
        self.version = _common_version(hello, self.settings)
        log2_ring_size = min(self.settings.log2_ring_size, hello.max_log2_ring_size)
        check_ring_size(log2_ring_size, self.version)
        self._wanted = Prepare(
            version=self.version,
            num_s2m=min(self.settings.num_s2m_rings, hello.max_s2m_ring + 1),
            num_m2s=min(self.settings.num_m2s_rings, hello.max_m2s_ring + 1),
            log2_ring_size=log2_ring_size,
            max_region=min(hello.max_region, MAX_REGION_INDEX),
        )
        self.state = PREPARING
        return [self._prepare]

    def _init(self) -> Init:
        ours = self.settings
        return Init(self.version, ours.interface_id, ours.mode, ours.secret, ours.app_name)

    def _send_next(self, _ack: Ack, _fd: None) -> list[Action]:
        if self._unsent:
            self.state = OFFERING
            return [self._unsent.pop(0)]
        self.state = CONNECT_SENT
        return [self._send(Connect(self.settings.if_name))]

    def _take_connected(self, connected: Connected, _fd: None) -> list[Action]:
        self.remote_if_name = connected.if_name
        self.state = CONNECTED
        return [Established()]

    def _send_ring(self, s2m: bool, index: int, ring: tuple[int, int, Any]) -> Send:
        region, offset, fd = ring
        return self._send(AddRing(s2m, index, region, offset, self._prepare.log2_ring_size, 0), fd)

    def _check_offer(self, regions: Sequence[Any], s2m: Sequence[Any], m2s: Sequence[Any]) -> None:
        asked = (self._prepare.num_s2m, self._prepare.num_m2s)
        if (len(s2m), len(m2s)) != asked:
            offered = f"{len(s2m)} S2M and {len(m2s)} M2S rings"
            raise HandshakeMisuse(f"{offered} offered, Prepare asked for {asked[0]} and {asked[1]}")
        for region, _offset, _fd in (*s2m, *m2s):
            if not 0 <= region < len(regions):
                raise HandshakeMisuse(f"a ring lies in region {region} of {len(regions)} offered")
        if len(regions) > self._prepare.max_region + 1:
            self.state = CLOSED
            allowed = self._prepare.max_region + 1
            raise ProtocolError("MAXREG", f"{len(regions)} regions needed, peer allows {allowed}")


def check_version(version: int, limits: Hello | MasterSettings) -> None:
    """Raise ProtocolError unless INIT may name this version."""
    inside = limits.min_version <= version <= limits.max_version
    if version not in (VERSION_1, VERSION_2) or not inside:
        allowed = f"{limits.min_version} to {limits.max_version}"
        raise ProtocolError("PROTO", f"protocol version {version}, supported are {allowed}")


def _check_mode(mode: int, expected: int) -> None:
    if mode != expected:
        theirs, ours = (MODE_NAMES.get(one, str(one)) for one in (mode, expected))
        raise ProtocolError("MODE", f"mode {theirs}, the interface is in mode {ours}")


def _check_secret(secret: bytes, expected: bytes) -> None:
    """An interface without a secret admits everybody, also a peer that gives one."""
    if not up_to_nul(expected):
        return
    if not up_to_nul(secret):
        raise ProtocolError("NOSECRET", "a secret is required")
    if not secrets_equal(secret, expected):
        raise ProtocolError("SECRET", "incorrect secret")


def _common_version(hello: Hello, settings: SlaveSettings) -> int:
    lowest = max(hello.min_version, settings.min_version)
    highest = min(hello.max_version, settings.max_version)
    for version in (VERSION_2, VERSION_1):
        if lowest <= version <= highest:
            return version
    theirs = f"{hello.min_version} to {hello.max_version}"
    ours = f"{settings.min_version} to {settings.max_version}"
    raise ProtocolError("PROTO", f"peer speaks versions {theirs}, we speak {ours}")


def fitting(reason: bytes | str) -> bytes:
    """The reason in at most the bytes DISCONNECT has, without a character cut in half."""
    if isinstance(reason, bytes):
        return reason[:DISCONNECT_SIZE]
    cut = reason.encode("utf-8", "replace")[:DISCONNECT_SIZE]
    return cut.decode("utf-8", "ignore").encode()
