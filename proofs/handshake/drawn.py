# SPDX-License-Identifier: Apache-2.0
"""The diagram of docs/protocol.md against the graph that was enumerated."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from .claims import DRAWN, require
from .explorer import Edge
from .rules import ROOT

if TYPE_CHECKING:
    from .explorer import Found

# drawings.py makes docs/drawings/states.svg, and a test compares them. It runs in a process of its
# own, because it imports the package of the checkout, which has no compiled half.
_PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import drawings
play = drawings.Play()
sides = {side: [play.edges(side), play.closers(side)] for side in play.machines}
print(json.dumps(sides))
"""


@cache
def _drawn(side: str) -> frozenset[Edge]:
    tools = ROOT / "docs" / "tools"
    run = [sys.executable, "-B", "-c", _PROGRAM, str(tools)]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    steps, closers = json.loads(said)[side]
    edges = {
        Edge(before, takes, after, tuple(sends)) for _side, before, takes, after, sends in steps
    }
    return frozenset(edges | {Edge(state, "DISCONNECT", "CLOSED", ()) for state in closers})


def check(side: str, found: Found) -> None:
    """Raise ClaimError unless all edges of a machine are drawn, and no others."""
    drawn = _drawn(side)
    reached = {edge for edge in found.edges if edge.takes != "disconnect()"}
    missing, extra = sorted(reached - drawn), sorted(drawn - reached)
    require(not missing and not extra, DRAWN, f"{side}: not drawn {missing}, not reached {extra}")
