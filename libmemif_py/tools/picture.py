# SPDX-License-Identifier: Apache-2.0
"""The pictures of `memif bench --plot`."""

from __future__ import annotations

import datetime
import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .extras import install_command
from .waiting import NoAnswer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .measurement import Result

_POINTS = 400
"""Of a curve: more would not show."""
_FEW = 20
"""So few points are shown one by one."""
_NEED_TEX = {"pgf"}
"""matplotlib draws these with TeX, which may not be there."""


def check(path: str) -> None:
    """Check that a picture can be drawn into the file. Raises UsageError."""
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        command = install_command("matplotlib")
        raise click.UsageError(f"--plot needs matplotlib. Install it: {command}") from error
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes().keys() - _NEED_TEX
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in formats:
        known = ", ".join(f".{name}" for name in sorted(formats))
        raise click.UsageError(f"--plot {path}: expected a file that ends with one of: {known}")
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise click.UsageError(f"--plot {path}: expected a file that can be written")


def draw(results: list[Result], path: str, ends: str) -> None:
    """Draw latency by percentile, or rate by burst size. `ends` says who was measured.

    Raises NoAnswer if the file cannot be written. Nothing is transparent: PostScript cannot be.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    if results[0].role == "latency":
        _draw_latency(axes, results)
    else:
        _draw_rates(axes, results)
    axes.set_title(f"memif bench {results[0].role}: {ends}", fontsize=10, parse_math=False)
    axes.grid(color="#e7e7e7")
    axes.legend(framealpha=1)
    now = datetime.datetime.now().astimezone()
    caption = f"{platform.node()}, {_processor()}, {now:%Y-%m-%d %H:%M %Z}"
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color="#57606a", parse_math=False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise NoAnswer(f"--plot {path}: {error.strerror}") from error


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _draw_latency(axes: Axes, results: list[Result]) -> None:
    """A curve for each size: so many percent of the round trips were at least as fast.

    The axis stretches towards the slowest: each step is a tenth of the packets of the one before.
    """
    most = max(len(result.samples) for result in results)
    for result in results:
        slower, times = _curve(result.samples)
        label = f"{result.size} bytes: {times[0]:.1f} to {times[-1]:.1f} us"
        axes.plot(slower, times, label=label, marker="." if len(times) < _FEW else "")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = {1.0: "0 %", 2.0: "50 %"}
    for power in range(1, int(math.log10(most)) + 1):
        ticks[10.0**power] = f"{100 - 100 / 10**power:.{max(0, power - 2)}f} %"
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xticks([], minor=True)
    _label_plainly(axes)
    axes.set(xlabel="percentile of the round trips", ylabel="round trip, microseconds")


def _curve(samples: list[float]) -> tuple[list[float], list[float]]:
    """Times in ascending order, each with 1 / (the share of round trips that took longer)."""
    ordered = sorted(samples)
    count = len(ordered)
    ranks = {round(count ** (1 - step / _POINTS)) for step in range(_POINTS + 1)}
    chosen = sorted(count - rank for rank in ranks)
    return [count / (count - place) for place in chosen], [ordered[place] for place in chosen]


def _label_plainly(axes: Axes) -> None:
    """Numbers such as 20 on the logarithmic axis, not powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_rates(axes: Axes, results: list[Result]) -> None:
    way = "tx" if results[0].role == "txonly" else "rx"
    for size in sorted({result.size for result in results}):
        chosen = [result for result in results if result.size == size]
        rates = [getattr(one, f"{way}_packets") / one.seconds / 1e6 for one in chosen]
        axes.plot([one.burst for one in chosen], rates, marker="o", label=f"{size} bytes")
    bursts = sorted({result.burst for result in results})
    axes.set_xscale("log", base=2)
    axes.set_xticks(bursts, [str(burst) for burst in bursts])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="packets in a burst", ylabel="million packets per second", ylim=(0, None))
