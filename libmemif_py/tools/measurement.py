# SPDX-License-Identifier: Apache-2.0
"""What `memif bench` has measured."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

_PERCENTS = (50, 90, 99, 99.9)


@dataclass
class Result:
    """The result of one run."""

    role: str
    size: int
    burst: int
    seconds: float = 0.0
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    tx_full: int = 0
    lost: int = 0
    samples: list[float] = field(default_factory=list)
    """Round trips in microseconds."""

    def record(self) -> dict[str, Any]:
        """The result as `--json` shows it."""
        values = asdict(self)
        samples = values.pop("samples")
        for way in ("rx", "tx"):
            packets = values[f"{way}_packets"]
            values[f"{way}_packets_per_second"] = packets / self.seconds if self.seconds else 0.0
        if samples:
            values["rtt_us"] = percentiles(samples)
        return values

    @property
    def has_worked(self) -> bool:
        """Whether packets were moved; with latency, whether they came back."""
        moved = self.rx_packets + self.tx_packets
        return self.seconds > 0 and bool(self.samples if self.role == "latency" else moved)

    def why_idle(self) -> str:
        """Why there is nothing to show, and what to do."""
        if self.role != "latency":
            does = "takes no packets" if self.role == "txonly" else "sends no packets"
            return f"the other end {does}"
        if self.tx_packets == 0:
            return "no packet was sent: the other end takes none"
        sent = f"none of {self.tx_packets} packets came back"
        if self.rx_packets:
            return f"{sent}, but {self.rx_packets} others: the other end must send ours back"
        return f"{sent}: the other end does not send them back; start `memif bench macswap` there"


def percentiles(samples: list[float]) -> dict[str, float]:
    """Minimum, mean, percentiles and maximum."""
    ordered = sorted(samples)
    found = {"min": ordered[0], "mean": statistics.fmean(ordered)}
    for percent in _PERCENTS:
        found[f"p{percent:g}"] = ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
    return found | {"max": ordered[-1]}
