# SPDX-License-Identifier: Apache-2.0
"""The pictures that the README shows, as SVG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from results import Results

CALL_PATTERNS = {"1 each": 1, "4 each": 4, "32 each": 32, "256 each": 256}
THROUGHPUT_SIZES = (64, 1500)
COLOURS = {"ours 1.0": "#1f6feb", "ours 4.0": "#8250df", "bare": "#57606a"}
OTHER_COLOURS = ("#bf8700", "#cf222e", "#1a7f37", "#bc4c00", "#0a3069")
# The same picture from the same numbers, on any day.
mpl.rcParams.update(
    {"svg.hashsalt": "libmemif-py", "svg.fonttype": "none", "font.family": "sans-serif"}
)


def draw_all(results: dict[str, Results], folder: Path) -> list[Path]:
    """Draw what was measured; returns the files."""
    drawn = []
    if "calls" in results:
        drawn.append(save(calls_figure(results["calls"]), folder / "bench-calls.svg"))
    if "throughput" in results:
        figure = throughput_figure(results["throughput"])
        drawn.append(save(figure, folder / "bench-throughput.svg"))
    return drawn


def save(figure: Figure, path: Path) -> Path:
    """Write one file."""
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


def calls_figure(results: Results) -> Figure:
    """Cost of a packet by burst."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for subject, colour in colours(results):
        mode, end = (None, None) if subject == "bare" else ("polling", "master")
        # Each library at the protocol version that it prefers.
        for protocol in (512, 256):
            points = {
                burst: results.get((protocol, mode, end, pattern, 64, "untouched"), subject)
                for pattern, burst in CALL_PATTERNS.items()
            }
            if any(points.values()):
                plot(axes, subject, colour, {b: s.median for b, s in points.items() if s})
                break
    axes.set_yscale("log")
    finish(axes, list(CALL_PATTERNS.values()), "ns per packet")
    axes.set_title("Cost of a packet: alloc + tx + rx + free, 64 bytes, one thread")
    return figure


def throughput_figure(results: Results) -> Figure:
    """Packets per second by burst, next to the bare limit."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(1, len(THROUGHPUT_SIZES))
    for axes, size in zip(panels, THROUGHPUT_SIZES, strict=True):
        cases = [c for c in results.cases() if c[:3] == (1, "one way", size)]
        for subject, colour in colours(results):
            points = {case[3]: results.get(case, subject) for case in cases}
            plot(axes, subject, colour, {b: s.median / 1e6 for b, s in points.items() if s})
        axes.set_ylim(bottom=0)
        finish(axes, sorted(case[3] for case in cases), "million packets per second")
        copied = " copied in and out" if size > THROUGHPUT_SIZES[0] else ""
        axes.set_title(f"{size} bytes{copied}, two processes")
    return figure


def colours(results: Results) -> list[tuple[str, str]]:
    """Each subject with its colour."""
    others = iter(OTHER_COLOURS * len(results.subjects()))
    return [(subject, COLOURS.get(subject) or next(others)) for subject in results.subjects()]


def plot(axes: Axes, subject: str, colour: str, points: dict[int, float]) -> None:
    """One line."""
    style = "--" if subject == "bare" else "-"
    label = "bare limit" if subject == "bare" else subject
    axes.plot(
        sorted(points),
        [points[burst] for burst in sorted(points)],
        style,
        marker="o",
        label=label,
        color=colour,
    )


def finish(axes: Axes, bursts: Sequence[int], unit: str) -> None:
    """Axes and legend."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(bursts, [str(burst) for burst in bursts])
    axes.set_xlabel("packets per burst")
    axes.set_ylabel(unit)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
