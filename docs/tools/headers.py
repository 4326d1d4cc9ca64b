# SPDX-License-Identifier: Apache-2.0
"""The public headers as data: what they declare, with the comments that stand above.

The headers are the only place where the C APIs are described. This reads them for the
reference (`reference.py`), the manual pages (`manual.py`) and the drawings (`drawings.py`). It
understands the C that these headers are written in, no more, and refuses what it does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

INCLUDE = Path(__file__).resolve().parents[2] / "include"
FOLDERS = {"1.0": INCLUDE / "libmemif1", "4.0": INCLUDE / "libmemif4"}
# Of both generations.
EXTENSIONS = "memif_ext.h"

# What a C compiler does not see, or sees only in C++.
_CPLUSPLUS_ELSE = re.compile(
    r"#ifdef __cplusplus\n(?:(?!#endif|#else).*\n)*#else\n((?:.*\n)*?)#endif"
)
_CPLUSPLUS = re.compile(r"#ifdef __cplusplus\n(?:(?!#endif).*\n)*#endif\n")
# `extension` has to stand before a packed struct or a flexible array; to a reader it says nothing.
_NOISE = re.compile(r"__extension__ |__attribute__\(\(packed\)\) ")


class HeaderError(Exception):
    """A header has something that this module does not understand."""


@dataclass(frozen=True)
class Member:
    """A field of a struct, or a value of an enum."""

    declaration: str
    comment: str

    @property
    def name(self) -> str:
        """Without type, array length, bit width and value."""
        text = re.sub(r"__attribute__\(\(.*\)\)|\[.*\]|[:=].*", "", self.declaration)
        return re.findall(r"\w+", text)[-1]


@dataclass(frozen=True)
class Item:
    """One thing that a header declares. `kind`: function, callback, type, struct, enum, macro."""

    kind: str
    name: str
    declaration: str
    comment: str
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Header:
    """A header: what it says of itself, and its items in order."""

    overview: str
    items: tuple[Item, ...]

    def of(self, *kinds: str) -> list[Item]:
        """The items of these kinds, in order."""
        return [item for item in self.items if item.kind in kinds]

    def __getitem__(self, name: str) -> Item:
        """The item of that name."""
        for item in self.items:
            if item.name == name:
                return item
        raise KeyError(name)


def load(api: str, file: str = "libmemif.h") -> Header:
    """Read a header of a generation of the interface, "1.0" or "4.0"."""
    folder = INCLUDE if file == EXTENSIONS else FOLDERS[api]
    return parse((folder / file).read_text(encoding="utf-8"))


def parse(text: str) -> Header:
    """Read a header's text."""
    text = _CPLUSPLUS_ELSE.sub(r"\1", text)
    text = _CPLUSPLUS.sub("", text)
    text = _NOISE.sub("", text)
    comments = []
    items = []
    for comment, code in _chunks(text):
        if comment is not None and code is None:
            comments.append(comment)
        elif code is not None:
            item = _item(code, comment or "")
            if item is not None:
                items.append(item)
    if not comments:
        raise HeaderError("no comment that stands alone says what the header is for")
    return Header(comments[0], tuple(items))


def paragraphs(comment: str) -> list[tuple[str, str]]:
    """A comment as (name, text): the name of an argument or field, or empty for prose.

    Arguments are described in lines that begin with `name:`, and indented ones that go on.
    """
    result: list[tuple[str, str]] = []
    for block in re.split(r"\n\s*\n", comment.strip("\n")):
        name = ""
        words: list[str] = []
        for line in block.splitlines():
            start = re.match(r"([a-z]\w*(?:, \w+)*): +(.*)", line)
            if start and (name or not words):
                if words:
                    result.append((name, " ".join(words)))
                name, words = start[1], [start[2]]
            else:
                words.append(line.strip())
        result.append((name, " ".join(words)))
    return result


def summary(item: Item) -> str:
    """The first sentence, without its full stop."""
    first = paragraphs(item.comment)[0][1]
    return re.split(r"[.:;](?= |$)", first)[0]


def plain(declaration: str) -> str:
    """A declaration on one line."""
    return re.sub(r"\s+", " ", declaration).strip()


def _chunks(text: str) -> list[tuple[str | None, str | None]]:
    """Pairs of a comment and the code that follows without an empty line, either may be None."""
    chunks: list[tuple[str | None, str | None]] = []
    for block in _blocks(text):
        match = re.match(r"/\*(.*?)\*/\n?", block, re.DOTALL)
        comment = _unframed(match[1]) if match else None
        code = block[match.end() :].strip("\n") if match else block
        if not code:
            chunks.append((comment, None))
            continue
        for number, piece in enumerate(_declarations(code)):
            chunks.append((comment if number == 0 else None, piece))
    return chunks


def _blocks(text: str) -> list[str]:
    """What is separated by empty lines, but for those inside braces and comments."""
    blocks: list[list[str]] = [[]]
    depth, inside = 0, False
    for line in text.splitlines():
        if not line.strip() and depth == 0 and not inside:
            blocks.append([])
            continue
        if not inside and line.startswith("/*") and blocks[-1] and depth == 0:
            # A comment begins something new, with or without an empty line before it.
            blocks.append([])
        blocks[-1].append(line)
        bare = re.sub(r"/\*.*?\*/", "", line)
        inside = ("/*" in bare) or (inside and "*/" not in bare)
        depth += bare.count("{") - bare.count("}") if not inside else 0
    return ["\n".join(block) for block in blocks if block]


def _declarations(code: str) -> list[str]:
    """Declarations that stand below each other, cut apart."""
    pieces: list[str] = []
    current: list[str] = []
    depth = 0
    for line in code.splitlines():
        current.append(line)
        bare = re.sub(r"/\*.*?\*/", "", line).rstrip()
        depth += bare.count("{") - bare.count("}")
        is_directive = current[0].startswith("#")
        if depth == 0 and (not bare.endswith("\\") if is_directive else bare.endswith(";")):
            pieces.append("\n".join(current))
            current = []
    if current:
        raise HeaderError(f"a declaration without an end: {current[0]}")
    return pieces


def _unframed(comment: str) -> str:
    lines = [re.sub(r"^ \* ?", "", line) for line in comment.splitlines()]
    return "\n".join(line.rstrip() for line in lines).strip()


def _item(code: str, comment: str) -> Item | None:
    if code.startswith("#"):
        return _macro(code, comment)
    code = code.strip()
    if code.startswith("typedef"):
        return _typedef(code, comment)
    match = re.match(r"[\w\s*]*?\b(\w+)\(", code)
    if match is None:
        raise HeaderError(f"neither a function nor a type: {code.splitlines()[0]}")
    return Item("function", match[1], code.rstrip(";"), comment)


def _macro(code: str, comment: str) -> Item | None:
    """Constants only: other directives, include guards and call forms are no interface."""
    match = re.match(r"#define ([A-Z]\w*) +(\S.*)", code)
    if match is None:
        return None
    value, _, beside = match[2].partition("/*")
    beside = beside.removesuffix("*/").strip()
    return Item("macro", match[1], f"{match[1]} {value.strip()}", comment or beside)


def _typedef(code: str, comment: str) -> Item:
    body = re.search(r"\{(.*)\}\s*(?:__attribute__\(\(.*?\)\)\s*)?(\w+);$", code, re.DOTALL)
    if body is not None:
        kind = "enum" if re.match(r"typedef enum\b", code) else "struct"
        return Item(kind, body[2], code, comment, tuple(_members(kind, body[1])))
    callback = re.search(r"\((\w+)\)\((.*)\);", code, re.DOTALL)
    if callback is not None:
        return Item("callback", callback[1], code.rstrip(";"), comment)
    match = re.match(r"typedef .*?(\w+);\s*(?:/\*(.*)\*/)?$", code)
    if match is None:
        raise HeaderError(f"no type of a known form: {code.splitlines()[0]}")
    beside = (match[2] or "").strip()
    return Item("type", match[1], code.partition(";")[0], comment or beside)


def _members(kind: str, body: str) -> list[Member]:
    members: list[Member] = []
    above = ""
    # A union is shown in the declaration only: its parts are types of their own.
    body = re.sub(r"union \{.*\};", "", body, flags=re.DOTALL)
    end = r";" if kind == "struct" else r",?"
    for line in map(str.strip, body.splitlines()):
        alone = re.fullmatch(r"/\*(.*)\*/", line)
        if alone or not line:
            # What stands above a group of members is said of each.
            above = alone[1].strip() if alone else ""
            continue
        match = re.fullmatch(rf"([^/{{}}]*?){end}\s*(?:/\*(.*)\*/)?", line)
        if match is None:
            raise HeaderError(f"a member of an unknown form: {line}")
        members.append(Member(match[1], (match[2] or "").strip() or above))
    return members
