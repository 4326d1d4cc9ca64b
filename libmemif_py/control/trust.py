# SPDX-License-Identifier: Apache-2.0
"""Which peers are trusted, for memory, eventfds and descriptors alike.

Trusted are root and our own effective user: they could attach a debugger, so nothing is gained by
being on guard. It goes by what the kernel noted of whoever called connect or listen. Where a
process relays the handshakes of others, as container networks do, that is the relay: one that runs
as root or as our own user vouches for all behind it.
"""

from __future__ import annotations

from . import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Users of another user namespace that have no number here all show as this one, and so may we: it
# is nobody's in particular. The kernel's default, which hardly anybody changes.
_OVERFLOW_UID = 65534


def is_trusted(peer: Sequence[int]) -> bool:
    """Of a peer (pid, uid, gid)."""
    uid = peer[1]
    return uid == 0 or (uid == system.geteuid() and uid != _OVERFLOW_UID)
