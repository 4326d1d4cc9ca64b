# SPDX-License-Identifier: Apache-2.0
"""The pictures that the README shows, as SVG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from results import Results

CALL_PATTERNS = {"1 each": 1, "4 each": 4, "32 each": 32, "256 each": 256}
THROUGHPUT_SIZES = (64, 1500)
COLOURS = {"ours 1.0": "#1f6feb", "ours 4.0": "#8250df", "bare": "#57606a"}
OTHER_COLOURS = ("#bf8700", "#cf222e", "#1a7f37", "#bc4c00", "#0a3069")
MARKERS = {"ours 1.0": "o", "ours 4.0": "s", "bare": "x"}
LABELS = {"ours 1.0": "1.0 API", "ours 4.0": "4.0 API", "bare": "bare limit"}
# The same picture from the same numbers, on any day. Text stays text, and a ground of its own keeps
# it legible on dark pages.
mpl.rcParams.update(
    {
        "svg.hashsalt": "libmemif-py",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "savefig.facecolor": "white",
    }
)


def draw_all(results: dict[str, Results], folder: Path, caption: str) -> list[Path]:
    """Draw what was measured, with what it was measured on; returns the files."""
    drawn = []
    if "calls" in results:
        figure = calls_figure(results["calls"])
        drawn.append(save(figure, folder / "bench-calls.svg", caption))
    if "throughput" in results:
        figure = throughput_figure(results["throughput"])
        drawn.append(save(figure, folder / "bench-throughput.svg", caption))
    return drawn


def in_use(results: dict[str, Results]) -> bool:
    """Whether numbers in the pictures come from a machine that was busy with something else."""
    found = results.get("throughput")
    if found is None:
        return False
    drawn = [c for c in found.cases() if c[:2] == (1, "one way") and c[2] in THROUGHPUT_SIZES]
    series = [found.get(case, subject) for case in drawn for subject in found.subjects()]
    return any(one is not None and one.disturbed for one in series)


def save(figure: Figure, path: Path, caption: str) -> Path:
    """Write one file."""
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=COLOURS["bare"])
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


def calls_figure(results: Results) -> Figure:
    """Cost of a packet by burst, in both directions."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (sender, end) in zip(panels, (("slave", "master"), ("master", "slave")), strict=True):
        for subject, colour in colours(results):
            plot(axes, subject, colour, calls_points(results, subject, end))
        finish(axes, list(CALL_PATTERNS.values()), "ns per packet", "upper right")
        # Numbers as people write them, at places that tell a factor.
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(f"{sender} to {end}", fontsize=10)
    figure.suptitle("Cost of a packet: alloc + tx + rx + free, 64 bytes untouched, one thread")
    return figure


def calls_points(results: Results, subject: str, end: str) -> dict[int, float]:
    """By burst; at the protocol version that the library prefers."""
    mode, to = (None, None) if subject == "bare" else ("polling", end)
    for protocol in (512, 256):
        found = {
            burst: results.get((protocol, mode, to, pattern, 64, "untouched"), subject)
            for pattern, burst in CALL_PATTERNS.items()
        }
        if any(found.values()):
            return {burst: series.median for burst, series in found.items() if series}
    return {}


def throughput_figure(results: Results) -> Figure:
    """Packets per second by burst, next to the bare limit."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels = figure.subplots(1, len(THROUGHPUT_SIZES))
    for axes, size in zip(panels, THROUGHPUT_SIZES, strict=True):
        cases = [c for c in results.cases() if c[:3] == (1, "one way", size)]
        for subject, colour in colours(results):
            points = {case[3]: results.get(case, subject) for case in cases}
            plot(axes, subject, colour, {b: s.median / 1e6 for b, s in points.items() if s})
        axes.set_ylim(bottom=0)
        bursts = sorted(case[3] for case in cases)
        finish(axes, bursts, "million packets per second", "lower right")
        payload = "copied in and out" if size > THROUGHPUT_SIZES[0] else "a number in each"
        axes.set_title(f"{size} bytes, {payload}", fontsize=10)
    figure.suptitle("Throughput: two processes on two processors, one ring, one way")
    return figure


def colours(results: Results) -> list[tuple[str, str]]:
    """Each subject with its colour."""
    others = iter(OTHER_COLOURS * len(results.subjects()))
    return [(subject, COLOURS.get(subject) or next(others)) for subject in results.subjects()]


def plot(axes: Axes, subject: str, colour: str, points: dict[int, float]) -> None:
    """One line."""
    style = "--" if subject == "bare" else "-"
    label = LABELS.get(subject, subject)
    axes.plot(
        sorted(points),
        [points[burst] for burst in sorted(points)],
        style,
        marker=MARKERS.get(subject, "d"),
        label=label,
        color=colour,
    )


def finish(axes: Axes, bursts: Sequence[int], unit: str, legend_at: str) -> None:
    """Axes and legend."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(bursts, [str(burst) for burst in bursts])
    axes.set_xlabel("packets per burst")
    axes.set_ylabel(unit)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False, loc=legend_at)
