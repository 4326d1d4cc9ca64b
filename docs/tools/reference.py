# SPDX-License-Identifier: Apache-2.0
"""Sphinx extension: pages that are made from other files while Sphinx reads them.

A line `<!-- made: NAME ARGUMENTS -->` in a page is replaced by what the function `_made_NAME`
returns, in MyST. Nothing is written beside the sources, and nothing of it can go stale.
"""

from __future__ import annotations

import importlib
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import headers
from headers import Item, paragraphs

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_MARK = re.compile(r"^<!-- made: (\w+) ?(.*?) -->$", re.MULTILINE)
# Pages outside of docs that are part of it, by the path that links inside docs use.
OUTSIDE = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md"} | {
    "examples/README.md": "examples.md",
    "bench/README.md": "bench.md",
}


def replaced(text: str) -> str:
    """A page with what its marks stand for."""
    return _MARK.sub(lambda match: MADE[match[1]](*match[2].split()), text)


# ---- C


def _made_c_types(api: str, file: str = "libmemif.h") -> str:
    """Types, constants and errors of a header."""
    parts = [f":::{{c:namespace}} {_namespace(api, file)}\n:::"]
    parts += [_described(i, api, file) for i in headers.load(api, file).of("macro")]
    parts += [_type(i, api, file) for i in headers.load(api, file).items]
    return "\n\n".join(part for part in parts if part)


def _made_c_functions(api: str, *names: str) -> str:
    """Functions of libmemif.h or memif_ext.h: those named."""
    file = headers.EXTENSIONS if names[0].startswith("memif_ext_") else "libmemif.h"
    header = headers.load(api, file)
    parts = [f":::{{c:namespace}} {_namespace(api, file)}\n:::"]
    return "\n\n".join(parts + [_described(header[name], api, file) for name in names])


def _made_c_overview(api: str, file: str = "libmemif.h") -> str:
    """What the header says of itself."""
    parts = [f":::{{c:namespace}} {_namespace(api, file)}\n:::"]
    overview = headers.load(api, file).overview
    return "\n\n".join(parts + [_linked(text, api, file) for _, text in paragraphs(overview)])


def _namespace(api: str, file: str) -> str:
    return f"{file.removesuffix('.h')}_{api.replace('.', '_')}"


def _type(item: Item, api: str, file: str) -> str:
    if item.kind in ("callback", "type"):
        return _described(item, api, file)
    if item.kind not in ("struct", "enum"):
        return ""
    member_kind = {"struct": "member", "enum": "enumerator"}[item.kind]
    lines = [f"::::{{c:{item.kind}}} {item.name}", "", _body(item, api, file), ""]
    for member in item.members:
        text = re.sub(r" ?__attribute__\(\(.*?\)\)+", "", member.declaration)
        lines += [f":::{{c:{member_kind}}} {text}", "", _linked(member.comment, api, file), ":::"]
        lines.append("")
    return "\n".join([*lines, "::::"])


def _described(item: Item, api: str, file: str) -> str:
    directive = {"function": "function", "macro": "macro"}.get(item.kind, "type")
    declaration = headers.plain(item.declaration).removeprefix("typedef ")
    value = ""
    if item.kind == "macro":
        declaration, _, value = declaration.partition(" ")
        value = f"`{value}`" if value else ""
    body = "\n\n".join(part for part in (value, _body(item, api, file)) if part)
    return f":::{{c:{directive}}} {declaration}\n\n{body}\n:::"


def _body(item: Item, api: str, file: str) -> str:
    parts = []
    for name, text in paragraphs(item.comment) if item.comment else []:
        if name:
            words = ", ".join(f"`{word}`" for word in name.split(", "))
            parts.append(f"{words}\n: {_linked(text, api, file)}")
        else:
            parts.append(_linked(text, api, file))
    return "\n\n".join(parts)


def _linked(text: str, api: str, file: str) -> str:
    """Prose of a comment in MyST: names become references, and nothing else markup."""
    items = headers.load(api, file).items
    values = (member.name for item in items if item.kind == "enum" for member in item.members)
    known = {item.name for item in items} | set(values)
    pieces = re.split(r"(`[^`]+`|\bmemif_\w+|\bMEMIF_\w+)", text)
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            pieces[number] = re.sub(r"([_*<>\[\]\\])", r"\\\1", piece)
        elif piece in known:
            pieces[number] = f"{{c:type}}`{piece}`"
        elif not piece.startswith("`"):
            pieces[number] = f"`{piece}`"
    return "".join(pieces)


# ---- the protocol

_WIRE_TYPES = {"H": "16 bits", "I": "32 bits", "B": "8 bits", "Q": "64 bits"}


def _made_messages() -> str:
    """The fields of every message, from the tables of wire.py."""
    wire = importlib.import_module("libmemif_py.control.wire")
    parts = []
    for message in wire.MESSAGE_CLASSES:
        what = message.__doc__.split("\n\n")[0].replace("\n", " ")
        parts.append(f"### {message.label}\n\nType {message.type_number}. {what}")
        if message is wire.AddRing:
            for version, layout in wire._ADD_RING_LAYOUTS.items():
                parts.append(f"Version {version}:\n\n{_fields(message, layout)}")
        elif message.__slots__:
            parts.append(_fields(message, wire._LAYOUTS[message]))
    return "\n\n".join(parts)


def _fields(message: Any, layout: struct.Struct) -> str:
    rows = ["| at byte | field | size |", "|---|---|---|", "| 0 | type | 16 bits |"]
    codes = re.findall(r"\d*[A-Za-z]", layout.format.removeprefix("<"))[1:]
    at = 2
    for name, code in zip(message.__slots__, codes, strict=False):
        size = _WIRE_TYPES.get(code, f"{code[:-1]} bytes")
        shown = "flags (bit 0: S2M)" if name == "s2m" else name
        rows.append(f"| {at} | {shown} | {size} |")
        at += struct.calcsize("<" + code)
    return "\n".join(rows)


# ---- pages from elsewhere


def _made_page(path: str) -> str:
    """A page of the checkout that lies outside of docs, with its links led into docs."""
    text = (ROOT / path).read_text(encoding="utf-8")
    here = (ROOT / path).parent

    def link(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        target, _, fragment = target.partition("#")
        if "://" in target or not target:
            return match[0]
        inside = (here / target).resolve().relative_to(ROOT).as_posix()
        fragment = f"#{fragment}" if fragment else ""
        if inside.startswith("docs/"):
            return f"[{text}]({inside.removeprefix('docs/')}{fragment})"
        if inside in OUTSIDE:
            return f"[{text}]({OUTSIDE[inside]}{fragment})"
        return f"`{inside}`"  # no page of the documentation, so a link would lead nowhere

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", link, text.replace("]\n(", "]("))


def _made_command_help() -> str:
    """What the memif command says of itself."""
    text = help_text()
    names = re.findall(r"^  ([a-z][\w-]*)  ", text.partition("Commands:")[2], re.MULTILINE)
    parts = [_help_block("memif", text)]
    parts += [_help_block(f"memif {name}", help_text(name)) for name in names]
    return "\n\n".join(parts)


def help_text(*words: str) -> str:
    """What a command prints with --help. Run as a module: the package of this interpreter."""
    command = [sys.executable, "-P", "-m", "libmemif_py.tools", *words, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _help_block(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.rstrip()}\n```"


MADE: dict[str, Callable[..., str]] = {
    name.removeprefix("_made_"): function
    for name, function in list(globals().items())
    if name.startswith("_made_")
}


# ---- Sphinx


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    text = replaced(source[0])
    for outside, page in OUTSIDE.items():
        depth = name.count("/")
        text = text.replace(f"]({'../' * (depth + 1)}{outside}", f"]({'../' * depth}{page}")
    source[0] = text


def _docstring(
    _app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list
) -> None:
    """Our docstrings show code by its indentation alone; reStructuredText wants it announced."""
    made: list[str] = []
    for number, line in enumerate(lines):
        starts = line.startswith("    ") and number > 1 and not lines[number - 1].strip()
        if starts and not lines[number - 2].startswith("    "):
            made += ["::", ""]
        made.append(line)
    lines[:] = made


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    # Before napoleon, which makes indented text of its own.
    app.connect("autodoc-process-docstring", _docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
