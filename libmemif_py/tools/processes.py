# SPDX-License-Identifier: Apache-2.0
"""The interfaces of running programs for `memif top`, with their rates."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from libmemif_py import processes
from libmemif_py.counters import each_queue

from .screen import Group
from .waiting import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libmemif_py import Process, ProcessInterface

_MOST_ROWS = 500
"""Interfaces and queues of one process on the screen. JSON has all."""


class Watch:
    """Looks at processes again and again."""

    def __init__(self, pids: Iterable[int]) -> None:
        """No `pids`: all. Raises NoAnswer for one that shows nothing."""
        self._pids = tuple(pids) or None
        found = self._look()
        if missing := set(self._pids or ()) - {process.pid for process in found}:
            raise NoAnswer(
                f"process {min(missing)} shows no interfaces: it has none, does not use this "
                "library, is another user's, or was started with LIBMEMIF_STATS=0"
            )
        self._before = _counts(found)

    def _look(self) -> list[Process]:
        return processes(self._pids)

    def update(self) -> tuple[list[dict[str, Any]], list[Group]]:
        """All that is seen now, for JSON and as tables."""
        found = self._look()
        values = [self._value(process) for process in found]
        self._before = _counts(found)
        groups = [group for value in values for group in _groups(value)]
        return values, groups or [Group("no process shows interfaces", [])]

    def _value(self, process: Process) -> dict[str, Any]:
        value = dataclasses.asdict(process)
        del value["moment"]
        for interface, fields in zip(process.interfaces, value["interfaces"], strict=True):
            for direction, queue in each_queue(len(interface.rx), len(interface.tx)):
                of_queue = fields[direction][queue]
                key = _key(process, interface, direction, queue)
                of_queue |= _rates(of_queue, process.moment, self._before.get(key))
        return value


def _key(process: Process, interface: ProcessInterface, direction: str, queue: int) -> Any:
    return process.pid, process.started, interface.api, interface.serial, direction, queue


def _counts(found: list[Process]) -> dict[Any, tuple[float, int | None, int | None]]:
    """When each queue was looked at, its packets and its bytes."""
    counts = {}
    for process in found:
        for interface in process.interfaces:
            for direction, queue in each_queue(len(interface.rx), len(interface.tx)):
                seen = getattr(interface, direction)[queue]
                key = _key(process, interface, direction, queue)
                counts[key] = process.moment, seen.packets, seen.bytes
    return counts


def _rates(
    queue: dict[str, Any], now: float, before: tuple[float, int | None, int | None] | None
) -> dict[str, float | None]:
    """None for a queue that was not there before."""
    if before is None or before[1] is None or before[2] is None or queue["packets"] is None:
        return {"packets_per_second": None, "bits_per_second": None}
    then, packets, octets = before
    span = now - then
    return {
        "packets_per_second": (queue["packets"] - packets) / span if span else 0.0,
        "bits_per_second": (queue["bytes"] - octets) * 8 / span if span else 0.0,
    }


def _groups(process: dict[str, Any]) -> list[Group]:
    name = f"{process['name']}[{process['pid']}]"
    groups = [Group(f"{name}: {process['problem']}", [])] if process["problem"] else []
    room = _MOST_ROWS
    for number, interface in enumerate(process["interfaces"]):
        rows = _rows(interface)
        room -= len(rows) + 1
        if room < 0 and number > 0:
            more = len(process["interfaces"]) - number
            groups.append(Group(f"{name}: {more} more interfaces, which --json shows", []))
            break
        groups.append(Group(f"{name}: {_title(interface)}", rows))
    return groups


def _title(interface: dict[str, Any]) -> str:
    peer = f"{interface['peer_app_name']} {interface['peer_name']}".strip() or "?"
    state = interface["last_error"] or "no peer has connected yet"
    if interface["state"] == "connected":
        pid = f"[{interface['peer_pid']}]" if interface["peer_pid"] > 0 else ""
        state = f"connected to {peer}{pid}, version {interface['version']}"
    return f"{interface['path']} (id {interface['id']}, {interface['role']}): {state}"


def _rows(interface: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"direction": direction, "queue": queue, **interface[direction][queue]}
        for direction, queue in each_queue(len(interface["rx"]), len(interface["tx"]))
    ]
