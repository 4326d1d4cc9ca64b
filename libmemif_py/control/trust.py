# SPDX-License-Identifier: Apache-2.0
"""Which peers are trusted, for memory, eventfds and descriptors alike.

We trust root and our own effective user: they could attach a debugger to us, so checks would gain
nothing. The user is the one that the kernel noted for the process that called connect or listen.
Where a process relays the handshakes of others, as container networks do, that is the relay: if it
runs as root or as our own user, everybody behind it is trusted.
"""

from __future__ import annotations

from . import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Users of another user namespace that have no number here all show as this one, and so may we. So
# it does not identify a user. This is the kernel's default, which is rarely changed.
_OVERFLOW_UID = 65534


def is_trusted(peer: Sequence[int]) -> bool:
    """Of a peer (pid, uid, gid)."""
    uid = peer[1]
    return uid == 0 or (uid == system.geteuid() and uid != _OVERFLOW_UID)
