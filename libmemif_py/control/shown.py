# SPDX-License-Identifier: Apache-2.0
"""What other processes can read of an interface: writes it to the segment (core/segment.h).

All of it runs under the control lock, when something has changed, and never for a burst.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    from .native import Native

    class Hub(Protocol):
        """What is used of the hub of an interface."""

        native: Native

    class Endpoint(Protocol):
        """What is used of an interface."""

        handle: Any
        settings: Any
        link: Any
        remote_name: bytes
        remote_if_name: bytes
        queues: tuple[int, int]
        links: int
        since: int

        @property
        def hub(self) -> Hub:
            """Its hub."""
            ...

        @property
        def last_error(self) -> str:
            """Why the last link ended."""
            ...


# Bytes of the texts in struct mif_shown.
_PATH_SIZE = 384
_ERROR_SIZE = 256


def show(endpoint: Endpoint) -> None:
    """Write what has changed. Nothing while the interface has no handle."""
    native = endpoint.hub.native
    if endpoint.handle and native.lib.mif_segment_is_open():
        shown = native.ffi.new("struct mif_shown *", _facts(endpoint, native))
        native.lib.mif_segment_describe(endpoint.handle, shown)


def _facts(endpoint: Endpoint, native: Native) -> dict[str, Any]:
    settings, link, lib = endpoint.settings, endpoint.link, native.lib
    facts = {
        "id": settings.interface_id,
        "is_master": settings.is_master,
        "mode": settings.mode,
        "link": lib.MIF_SHOWN_NONE if link is None else lib.MIF_SHOWN_HANDSHAKE,
        "rx_queues": endpoint.queues[False],
        "tx_queues": endpoint.queues[True],
        "buffer_size": settings.buffer_size,
        "links": endpoint.links & 0xFFFFFFFF,
        "since": endpoint.since,
        "name": settings.if_name,
        "app_name": settings.app_name,
        "peer_name": endpoint.remote_if_name,
        "peer_app_name": endpoint.remote_name,
        "path": settings.path[:_PATH_SIZE],
        "last_error": endpoint.last_error.encode("utf-8", "replace")[:_ERROR_SIZE],
    }
    if link is not None and link.up:
        pid, uid, gid = link.peer
        facts |= {
            "link": lib.MIF_SHOWN_UP,
            "version": link.machine.version,
            "peer_pid": pid,
            "peer_uid": uid & 0xFFFFFFFF,
            "peer_gid": gid & 0xFFFFFFFF,
        }
    return facts


def may_keep(fd: int) -> bool:
    """Whether a region's descriptor can stay open for readers of its rings.

    Descriptors are numbered from the lowest free one. So a high number says that the process may
    soon need what is left.
    """
    return fd < posix.sysconf("SC_OPEN_MAX") // 2


def show_rings(endpoint: Endpoint, rings: Iterable[tuple[bool, int, int, int]]) -> None:
    """Tell where rings are: direction (is it tx), queue id, descriptor of the region, offset."""
    lib = endpoint.hub.native.lib
    for is_tx, qid, fd, offset in rings:
        lib.mif_segment_ring(endpoint.handle, qid, is_tx, fd, offset)
