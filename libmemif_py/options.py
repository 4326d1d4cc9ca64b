# SPDX-License-Identifier: Apache-2.0
"""The types of the arguments of Interface, for functions that pass them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

    from .details import Peer
    from .settings import Mode, Role, Unsealed


class Options(TypedDict, total=False):
    """All arguments of Interface but the path and the callbacks about the link."""

    role: Role
    id: int
    name: str
    app_name: str
    secret: str | bytes | None
    mode: Mode
    s2m_rings: int
    m2s_rings: int
    ring_size: int
    buffer_size: int
    max_packet: int
    version: int | None
    socket_mode: int | None
    socket_owner: int | str | None
    socket_group: int | str | None
    allow: Callable[[Peer], bool] | None
    unsealed: Unsealed
    handshake_timeout: float
    retry_interval: float
