# SPDX-License-Identifier: Apache-2.0
"""The types of the arguments of Interface, for functions that pass them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from typing_extensions import Buffer  # type checkers know it, also without the package

    from .details import Peer
    from .settings import Mode, Role, Unsealed

    Packet: TypeAlias = "Buffer | Array"


class Array(Protocol):
    """An array of NumPy, which is a buffer. Type checkers know that since Python 3.12."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's description of the memory."""
        raise NotImplementedError


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
