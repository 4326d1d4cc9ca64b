# SPDX-License-Identifier: Apache-2.0
"""What an interface tells of itself, of its link and of its peer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .control.wire import printable
from .settings import MODES, Mode, Role

if TYPE_CHECKING:
    from .control.endpoint import Endpoint


@dataclass(frozen=True)
class Peer:
    """The process at the other end of the control socket, as the kernel recorded it.

    The kernel records a slave when it connects, and a master when it begins to listen: for a socket
    that a service manager made, this is the service manager. The numbers are those of our
    namespaces. A process or user that has no number there has pid 0, or uid and gid 65534.
    """

    pid: int
    """The number may belong to another process by now: use it for a log, not for a decision."""
    uid: int
    """The effective user."""
    gid: int
    """The effective group."""


@dataclass(frozen=True)
class Details:
    """An interface and its link at one moment."""

    path: str
    """Socket path; "@name" is abstract."""
    id: int
    role: Role
    mode: Mode
    name: str
    app_name: str
    remote_name: str
    """The interface name of the peer, or of the last one; empty before the first.

    Characters that cannot be printed on one line are escaped as \\xNN or \\uNNNN.
    """
    remote_app_name: str
    """The application name of the peer, likewise."""
    connected: bool
    version: int
    """Protocol version in use, 256 or 512; 0 when disconnected."""
    rx_rings: tuple[int, ...]
    """Slots of each receive ring, by queue id; empty when disconnected."""
    tx_rings: tuple[int, ...]
    """Slots of each transmit ring, likewise."""
    buffer_size: int
    """Bytes of a buffer as configured here. A master uses the buffers that the slave offers."""
    last_error: str
    """Why the last connection ended or failed. What the peer said of it is escaped as above."""


def details_of(endpoint: Endpoint, *, is_up: bool) -> Details:
    """The details of an interface whose link is up, or is not."""
    settings = endpoint.settings
    link = endpoint.link if is_up else None
    return Details(
        path=os.fsdecode(settings.path),
        id=settings.interface_id,
        role="master" if settings.is_master else "slave",
        mode=MODES[settings.mode],
        name=settings.if_name.decode("utf-8", "replace"),
        app_name=settings.app_name.decode("utf-8", "replace"),
        remote_name=printable(endpoint.remote_if_name),
        remote_app_name=printable(endpoint.remote_name),
        connected=link is not None,
        version=link.machine.version if link else 0,
        rx_rings=tuple(link.rings(False)) if link else (),
        tx_rings=tuple(link.rings(True)) if link else (),
        buffer_size=settings.buffer_size,
        last_error=endpoint.last_error,
    )
