# SPDX-License-Identifier: Apache-2.0
"""Counters of interfaces for Prometheus. Needs `pip install prometheus-client`.

from prometheus_client import REGISTRY, start_http_server
from libmemif_py.adapters.metrics import InterfaceCollector

REGISTRY.register(InterfaceCollector([interface]))
start_http_server(9100)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ..counters import each_queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from ..interface import Interface

_INTERFACE = ("role", "path", "id", "name")
# For each metric: direction, field of the counters, help text.
_COUNTERS = {
    "rx_packets": ("rx", "packets", "Packets received"),
    "rx_bytes": ("rx", "bytes", "Bytes received"),
    "rx_filtered": ("rx", "filtered", "Packets received that a filter kept from the program"),
    "tx_packets": ("tx", "packets", "Packets sent"),
    "tx_bytes": ("tx", "bytes", "Bytes sent"),
    "tx_ring_full": ("tx", "full", "Attempts to send that found no room for all packets"),
    "tx_interrupts": ("tx", "interrupts", "Signals sent to the peer"),
}


class InterfaceCollector(Collector):
    """Reads the counters of interfaces at each scrape, without stopping their traffic.

    Args:
        interfaces: iterated at each scrape, so it may be a list that changes.
        prefix: the first part of each metric's name.
    """

    def __init__(self, interfaces: Iterable[Interface], *, prefix: str = "memif") -> None:
        """See the class."""
        self._interfaces = interfaces
        self._prefix = prefix

    def __repr__(self) -> str:
        """The interfaces and the prefix."""
        return f"InterfaceCollector({self._interfaces!r}, prefix={self._prefix!r})"

    def describe(self) -> Iterable[Metric]:
        """The metrics without values. The registry uses them to find duplicate names."""
        return [self._connected(), *self._families().values()]

    def collect(self) -> Iterator[Metric]:
        """The metrics with their values at this moment."""
        connected, families = self._connected(), self._families()
        for interface in list(self._interfaces):
            details = interface.details()
            labels = [details.role, details.path, str(details.id), details.name]
            connected.add_metric(labels, float(details.connected))
            counters = interface.counters()
            for direction, queue in each_queue(len(counters.rx), len(counters.tx)):
                values = getattr(counters, direction)[queue]
                for name, (of, field, _) in _COUNTERS.items():
                    if of == direction:
                        families[name].add_metric([*labels, str(queue)], getattr(values, field))
        yield connected
        yield from families.values()

    def _connected(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            f"{self._prefix}_connected", "1 while the link is up", labels=_INTERFACE
        )

    def _families(self) -> dict[str, CounterMetricFamily]:
        labels = (*_INTERFACE, "queue")
        return {
            name: CounterMetricFamily(f"{self._prefix}_{name}", text, labels=labels)
            for name, (_, _, text) in _COUNTERS.items()
        }
