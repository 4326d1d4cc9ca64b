# SPDX-License-Identifier: Apache-2.0
"""What a listener knows of peers that connected before. It decides the number of rings in HELLO.

HELLO says how many rings a master takes, before INIT names the peer and the interface. For most
peers our own number would be right: VPP and libmemif offer no more rings than HELLO says. But
DPDK's client reads the number and still uses queues beyond it, mostly until it crashes. So the
first HELLO says the most that the protocol has. A peer that then offers more rings than the
interface takes is refused, and when it tries again, HELLO says what that interface takes. DPDK is
never told.

* A process is known by its identity (`Channel.identity`), which no other process ever gets. Where
  the kernel does not say who the peer is, the peer is not remembered, and every refusal is like the
  first.
* A process may have several interfaces on one path. We cannot see which of them comes next. Slaves
  try their interfaces in turn, so we expect the one that has not tried for the longest time. Each
  attempt is noted, so wrong guesses do not repeat. A wrong guess costs rings, never packets: a peer
  that was told fewer than its interface would take gets so few until it connects again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

MOST_PEERS = 64
_DPDK = b"DPDK"


class _Peer:
    """One process."""

    __slots__ = ("is_told", "keeps_to_hello", "tried")

    def __init__(self) -> None:
        self.tried: dict[int, None] = {}  # interface ids, the last attempt last
        self.keeps_to_hello = True
        self.is_told = False


class KnownPeers:
    """The processes that have named an interface of a listener lately, MOST_PEERS at most."""

    def __init__(self) -> None:
        """No process yet."""
        self._peers: dict[str, _Peer] = {}  # the last attempt last

    def tried(self, identity: str | None, name: bytes, interface_id: int) -> None:
        """A peer has said INIT, with this name of its program."""
        if identity is None:
            return
        peer = self._peers.pop(identity, None) or _Peer()
        self._peers[identity] = peer
        if len(self._peers) > MOST_PEERS:
            del self._peers[next(iter(self._peers))]
        peer.tried.pop(interface_id, None)
        peer.tried[interface_id] = None
        if name.startswith(_DPDK):
            peer.keeps_to_hello = False

    def offered_too_many(self, identity: str | None) -> bool:
        """A peer offered more rings than there are. Whether it will be told of the number."""
        peer = None if identity is None else self._peers.get(identity)
        if peer is None or not peer.keeps_to_hello:
            return False
        peer.is_told = True
        return True

    def is_anybody_told(self) -> bool:
        """If False, the identity of a new peer need not be found out."""
        return any(peer.is_told for peer in self._peers.values())

    def expected(self, identity: str | None, possible: Collection[int]) -> int | None:
        """The interface, one of `possible`, that a peer that has just come is likely to name.

        None: HELLO must leave the number of rings open.
        """
        peer = None if identity is None else self._peers.get(identity)
        if peer is None or not (peer.is_told and peer.keeps_to_hello):
            return None
        return next((number for number in peer.tried if number in possible), None)
