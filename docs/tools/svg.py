# SPDX-License-Identifier: Apache-2.0
"""The few shapes that the drawings are made of."""

from __future__ import annotations

from xml.sax.saxutils import escape

_STYLE = """
  text { font: 13px sans-serif; fill: #1b1f24 }
  .bold { font-weight: bold; font-size: 15px }
  .state { fill: #e8f0fe; stroke: #2f5fb3 }
  .cell { fill: #e8f0fe; stroke: #2f5fb3 }
  .other { fill: #fdf0d5; stroke: #a8741a }
  .empty { fill: #f4f4f4; stroke: #999 }
  .line { stroke: #1b1f24; fill: none }
  .quiet { stroke: #999; fill: none }
  .dashed { stroke: #b3372f; stroke-dasharray: 5 4; fill: none }
"""


class Svg:
    """A drawing under construction."""

    def __init__(self, width: int, height: int, title: str) -> None:
        """White, because text on it is dark whatever the page's colours are."""
        self._lines = [
            "<!-- SPDX-License-Identifier: Apache-2.0; made by docs/tools/drawings.py -->",
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" '
            'orient="auto"><path d="M0,0 L9,4 L0,8 z"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="8" fill="white"/>',
        ]

    def text(
        self, x: float, y: float, text: str, *, bold: bool = False, anchor: str = "start"
    ) -> None:
        """Its baseline is at y."""
        kind = ' class="bold"' if bold else ""
        place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
        self._lines.append(f"<text {place}{kind}>{escape(text)}</text>")

    def line(self, x1: float, y1: float, x2: float, y2: float, *, kind: str = "line") -> None:
        """A plain one."""
        self._lines.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{kind}"/>'
        )

    def arrow(self, x1: float, y1: float, x2: float, y2: float, *, kind: str = "line") -> None:
        """Points at the second end."""
        ends = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
        self._lines.append(f'<line {ends} class="{kind}" marker-end="url(#tip)"/>')

    def loop(self, x: float, y: float) -> None:
        """An arrow from the right side of a box to itself."""
        path = f"M{x:g},{y - 8:g} C{x + 40:g},{y - 20:g} {x + 40:g},{y + 20:g} {x:g},{y + 8:g}"
        self._lines.append(f'<path d="{path}" class="line" marker-end="url(#tip)"/>')

    def state(self, x: float, y: float, name: str) -> None:
        """A rounded box around its middle."""
        place = f'x="{x - 70:g}" y="{y - 15:g}" width="140" height="30" rx="15"'
        self._lines.append(f'<rect {place} class="state"/>')
        self.text(x, y + 5, name, anchor="middle")

    def cell(self, x: float, y: float, width: float, text: str, *, kind: str = "") -> None:
        """A part of memory; one without a width is left out."""
        if width <= 0:
            return
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="30"'
        self._lines.append(f'<rect {place} class="{kind or "cell"}"/>')
        self.text(x + width / 2, y + 20, text, anchor="middle")

    def box(
        self, x: float, y: float, width: float, height: float, lines: tuple[str, ...], *, kind: str
    ) -> None:
        """Several lines of text in a frame."""
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self._lines.append(f'<rect {place} class="{kind}"/>')
        first = y + height / 2 + 5 - 9 * (len(lines) - 1)
        for number, line in enumerate(lines):
            self.text(x + width / 2, first + 18 * number, line, anchor="middle")

    def group(self, x: float, y: float, width: float, height: float, name: str) -> None:
        """A frame around other things, with a name above."""
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"'
        self._lines.append(f'<rect {place} class="quiet"/>')
        self.text(x + width / 2, y - 12, name, bold=True, anchor="middle")

    def done(self) -> str:
        """The file's text."""
        return "\n".join([*self._lines, "</svg>", ""])
