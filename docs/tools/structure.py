# SPDX-License-Identifier: Apache-2.0
"""Drawings of what is beside what: files of the library, hosts of an example.

drawings.py writes them with the others. A file that a drawing names and that is gone is an error.
"""

from __future__ import annotations

import re
from pathlib import Path

from svg import Svg

ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = ROOT / "libmemif_py"


def files() -> str:
    """From the programs to the rings, by the files that the calls pass."""
    svg = Svg(900, 600, "The files between a program and the rings")
    ways_in = [
        ("1.0 program", "native/capi/v1/api.c"),
        ("4.0 program", "native/capi/v4/api.c"),
        ("Python program", "interface.py"),
    ]
    for number, (program, file) in enumerate(ways_in):
        x = 30 + number * 285
        svg.cell(x, 30, 270, program, kind="empty")
        svg.arrow(x + 135, 60, x + 135, 90)
        svg.cell(x, 90, 270, _existing(file))
        svg.line(x + 135, 120, x + 135, 140)
    svg.line(165, 140, 735, 140)
    _bursts(svg)
    _control(svg)
    svg.cell(250, 490, 620, _existing("native/core/connection.c") + ": maps regions, starts queues")
    svg.arrow(345, 520, 345, 555)
    svg.cell(30, 555, 410, "rings in shared memory", kind="empty")
    return svg.done()


def _bursts(svg: Svg) -> None:
    svg.arrow(235, 140, 235, 165)
    svg.cell(30, 165, 410, "bursts: C alone", kind="other")
    svg.arrow(90, 195, 90, 220)
    svg.cell(30, 220, 130, _existing("native/python/"))
    svg.arrow(90, 250, 90, 285)
    svg.arrow(200, 195, 200, 285)
    svg.cell(30, 285, 195, _existing("native/datapath/packet.c", shown="datapath/packet.c"))
    svg.arrow(340, 195, 340, 285)
    svg.cell(245, 285, 195, _existing("native/datapath/entry.c", shown="datapath/entry.c"))
    for x in (128, 342):
        svg.arrow(x, 315, x, 350)
    _existing("native/datapath/fast_path.h native/datapath/vectors.h")
    svg.cell(30, 350, 410, "datapath/fast_path.h, vectors.h")
    svg.arrow(235, 380, 235, 415)
    svg.cell(30, 415, 410, _existing("native/datapath/engine.h", shown="datapath/engine.h"))
    svg.arrow(345, 445, 345, 490)
    svg.arrow(130, 445, 130, 555)
    svg.arrow(130, 555, 130, 445)


def _control(svg: Svg) -> None:
    svg.arrow(675, 140, 675, 165)
    svg.cell(480, 165, 390, "create, delete, details, control fd events", kind="other")
    svg.arrow(572, 195, 572, 220)
    svg.cell(480, 220, 185, _existing("native/embed/") + ": CPython")
    svg.arrow(572, 250, 572, 285)
    _existing("capi/v1.py capi/v4.py")
    svg.cell(480, 285, 185, "capi/v1.py, v4.py")
    svg.arrow(572, 315, 572, 350)
    svg.arrow(777, 195, 777, 220)
    svg.cell(685, 220, 185, _existing("control/reactor.py") + ": thread")
    svg.arrow(777, 250, 777, 350)
    _existing("control/hub.py control/endpoint.py control/link.py")
    svg.cell(480, 350, 390, "control/hub.py, endpoint.py, link.py")
    for x, names in ((480, ("handshake.py", "wire.py")), (685, ("channel.py", "regions.py"))):
        _existing(" ".join(f"control/{name}" for name in names))
        svg.arrow(x + 92, 380, x + 92, 415)
        svg.cell(x, 415, 185, ", ".join(names))
    svg.arrow(675, 380, 675, 490)


def _existing(paths: str, *, shown: str = "") -> str:
    for path in paths.split():
        if not (_PACKAGE / path).exists():
            raise FileNotFoundError(f"{path} is drawn, and is not in {_PACKAGE}")
    return shown or paths


def hosts() -> str:
    """Two hosts, a switch on each, and a cable between."""
    responder, pings = "examples/icmp_responder.c", "examples/two-hosts/pings.py"
    for path in (responder, pings):
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"{path} is drawn, and is not there")
    svg = Svg(860, 170, "Two programs on two hosts")
    chain = [
        (("Python program", Path(pings).name), "cell"),
        (("switch:", "testpmd or VPP"), "other"),
        (("switch:", "testpmd or VPP"), "other"),
        (("C program", re.sub(r"\.c$", "", Path(responder).name)), "cell"),
    ]
    for x, name in ((20, "host a"), (450, "host b")):
        svg.group(x, 40, 390, 110, name)
    for number, (lines, kind) in enumerate(chain):
        svg.box(35 + number * 215, 75, 145, 56, lines, kind=kind)
    for number, name in enumerate(("memif", "cable", "memif")):
        left = 180 + number * 215
        svg.arrow(left, 103, left + 70, 103)
        svg.arrow(left + 70, 103, left, 103)
        svg.text(left + 35, 95, name, anchor="middle")
    return svg.done()


DRAWINGS = {"files": files, "hosts": hosts}
