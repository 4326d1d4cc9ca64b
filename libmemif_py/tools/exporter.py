# SPDX-License-Identifier: Apache-2.0
"""Metrics of all processes for Prometheus, once or over HTTP. Needs the package prometheus-client.

It looks at the processes when somebody asks: nothing is stale, and nothing runs in between.
"""

from __future__ import annotations

import http.server
import ipaddress
import socket
from typing import TYPE_CHECKING

import click

from libmemif_py import processes
from libmemif_py.counters import each_queue

from .extras import install_command
from .options import say
from .waiting import NoAnswer

try:
    import prometheus_client
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError as error:
    raise NoAnswer(
        f"--prometheus needs the package prometheus-client: {install_command('prometheus-client')}"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from libmemif_py import Process, ProcessInterface

_PROCESS = ("pid", "process")
_INTERFACE = (*_PROCESS, "api", "serial", "role", "path", "id", "name")
# For each metric: direction, field of ProcessQueue, help text. As those of adapters/metrics.py.
_COUNTERS = {
    "memif_rx_packets": ("rx", "packets", "Packets received"),
    "memif_rx_bytes": ("rx", "bytes", "Bytes received"),
    "memif_tx_packets": ("tx", "packets", "Packets sent"),
    "memif_tx_bytes": ("tx", "bytes", "Bytes sent"),
    "memif_tx_ring_full": ("tx", "full", "Attempts to send that found no room for all packets"),
    "memif_tx_interrupts": ("tx", "interrupts", "Signals sent to the peer"),
    "memif_tx_refused": ("tx", "refused", "Entries that could not be sent as they were"),
}
_GAUGES = {
    "ring_slots": ("ring_size", "Slots of the ring"),
    "ring_fill_slots": ("ring_fill", "Slots that the receiver has not given back"),
}


class ProcessCollector(Collector):
    """Reads all processes, or some, at each scrape."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        """No `pids`: all."""
        self._pids = pids or None

    def collect(self) -> Iterator[Metric]:
        """The metrics with their values at this moment."""
        metrics = _Metrics()
        for process in processes(self._pids):
            metrics.add(process)
        yield from metrics.all()


class _Metrics:
    def __init__(self) -> None:
        self._unreadable = GaugeMetricFamily(
            "memif_process_unreadable", "1 if not all of the process could be read", labels=_PROCESS
        )
        self._connected = GaugeMetricFamily(
            "memif_connected", "1 while the link is up", labels=_INTERFACE
        )
        self._links = CounterMetricFamily("memif_links", "Links that were up", labels=_INTERFACE)
        labels = (*_INTERFACE, "queue")
        self._counters = {
            name: CounterMetricFamily(name, text, labels=labels)
            for name, (_, _, text) in _COUNTERS.items()
        }
        self._gauges = {
            (direction, name): GaugeMetricFamily(f"memif_{direction}_{name}", text, labels=labels)
            for direction in ("rx", "tx")
            for name, (_, text) in _GAUGES.items()
        }

    def all(self) -> Iterator[Metric]:
        """Each of them."""
        yield from (self._unreadable, self._connected, self._links)
        yield from self._counters.values()
        yield from self._gauges.values()

    def add(self, process: Process) -> None:
        """Add what it shows."""
        of_process = [str(process.pid), process.name]
        self._unreadable.add_metric(of_process, float(bool(process.problem)))
        seen = set()
        for one in process.interfaces:
            labels = [
                *of_process, one.api, str(one.serial), one.role, one.path, str(one.id), one.name
            ]  # fmt: skip
            if tuple(labels) in seen:
                continue  # of a dishonest process: two metrics with the same labels fail the scrape
            seen.add(tuple(labels))
            self._connected.add_metric(labels, float(one.connected))
            self._links.add_metric(labels, one.links)
            self._add_queues(one, labels)

    def _add_queues(self, one: ProcessInterface, labels: list[str]) -> None:
        for direction, queue in each_queue(len(one.rx), len(one.tx)):
            values = getattr(one, direction)[queue]
            of_queue = [*labels, str(queue)]
            for name, (of, field, _) in _COUNTERS.items():
                if of == direction and (count := getattr(values, field)) is not None:
                    self._counters[name].add_metric(of_queue, count)
            for name, (field, _) in _GAUGES.items():
                if (value := getattr(values, field)) is not None:
                    self._gauges[direction, name].add_metric(of_queue, value)


def export(where: str, pids: tuple[int, ...]) -> None:
    """Print the metrics once if `where` is "-", else serve them at ADDRESS:PORT until stopped."""
    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(ProcessCollector(pids))
    if where == "-":
        click.echo(prometheus_client.generate_latest(registry), nl=False)
        return
    address, port = _parts(where)
    try:
        server = _Server((address, port), prometheus_client.MetricsHandler.factory(registry))
    except OSError as error:
        raise NoAnswer(f"{where}: {error.strerror or error}") from error
    with server:
        host, number = server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        say(f"metrics at http://{shown}:{number}/metrics")
        server.serve_forever()


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], handler: type) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


def _parts(where: str) -> tuple[str, int]:
    """The address and the port. Raises UsageError."""
    address, _, port = where.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        if address:
            address = str(ipaddress.ip_address(address))
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise click.UsageError(
            f"--prometheus {where!r}, expected ADDRESS:PORT, such as 127.0.0.1:9105 or [::1]:9105; "
            ":9105 for all addresses"
        )
    return address, number
