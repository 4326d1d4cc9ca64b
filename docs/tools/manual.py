# SPDX-License-Identifier: Apache-2.0
"""The manual pages of the C APIs, made from the headers.

    manual.py --list SECTION             names of the pages of section 3 or 7
    manual.py --write SECTION FOLDER     write them

One page a function, `memif_create.3memif1` for the 1.0 API, `memif_create.3memif4` for that
of 4.0, and an overview of each, `libmemif1.7` and `libmemif4.7`. meson calls this at build time.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import sys
from pathlib import Path

import headers
from headers import Header, Item, paragraphs, summary

# By generation of the interface: what its pages are called after.
LIBRARIES = {"1.0": "libmemif1", "4.0": "libmemif4"}
SECTIONS = {"1.0": "3memif1", "4.0": "3memif4"}
_OTHER = {"1.0": "4.0", "4.0": "1.0"}
_WIDTH = 78


def pages(section: str) -> dict[str, str]:
    """All pages of manual section "3" or "7": file name to text."""
    made = {}
    for api, library in LIBRARIES.items():
        header = headers.load(api)
        writer = Writer(api, header)
        if section == "7":
            made[f"{library}.7"] = writer.overview()
            continue
        for item in header.of("function"):
            made[f"{item.name}.{SECTIONS[api]}"] = writer.function(item)
    return made


class Writer:
    """Writes the pages of one header."""

    def __init__(self, api: str, header: Header) -> None:
        """Of the interface `api`."""
        self.library = LIBRARIES[api]
        self.section = SECTIONS[api]
        self.other = LIBRARIES[_OTHER[api]]
        self.api = api
        self.header = header
        self.functions = {item.name for item in header.of("function")}
        self.day = _day(api)

    def function(self, item: Item) -> str:
        """The page of a function."""
        said = paragraphs(item.comment)
        returns = [text for _, text in said if text.startswith("Returns ")]
        lines = [
            *self._top(item.name, self.section),
            *self._name(item.name, summary(item)),
            *self._synopsis(item),
            ".SH DESCRIPTION",
            *self._prose([part for part in said if part[1] not in returns]),
        ]
        if item.declaration.startswith("int "):
            lines += [".SH RETURN VALUE", *self._prose([("", text) for text in returns])]
            if returns:
                lines.append(".PP")
            lines += self._prose([("", paragraphs(self.header.overview)[1][1])])
        lines += self._see_also([f"{self.library}(7)", *self._related(item)])
        return "\n".join(lines) + "\n"

    def overview(self) -> str:
        """The page of the library."""
        said = paragraphs(self.header.overview)
        what = said[0][1].partition(": ")[2]
        functions = self.header.of("function")
        lines = [
            *self._top(self.library, "7"),
            *self._name(self.library, f"{what.rstrip('.')}, interface {self.api}"),
            ".SH SYNOPSIS",
            ".nf",
            ".B #include <libmemif.h>",
            ".fi",
            ".PP",
            f"cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs {self.library})",
            ".SH DESCRIPTION",
            *self._prose(said[1:]),
            ".SH FUNCTIONS",
        ]
        for item in functions:
            what = summary(item)
            what = what[0].upper() + what[1:] + "."
            lines += [".TP", f".BR {item.name} ({self.section})", self._text(what)]
        lines += self._constants()
        lines += self._types()
        lines += self._see_also(
            ["libmemif(7)", f"{self.other}(7)", f"memif_create({self.section})"]
        )
        return "\n".join(lines) + "\n"

    def _top(self, name: str, section: str) -> list[str]:
        """The title; long names are neither hyphenated nor pulled apart."""
        title = f'.TH {name} {section} "{self.day}" "libmemif {self.api}" "libmemif manual"'
        return [title, ".nh", ".ad l"]

    def _name(self, name: str, what: str) -> list[str]:
        return [".SH NAME", f"{name} \\- {self._text(what[0].lower() + what[1:], marked=False)}"]

    def _synopsis(self, item: Item) -> list[str]:
        code = [literal(line) for line in f"{item.declaration};".splitlines()]
        return [
            ".SH SYNOPSIS",
            ".nf",
            ".B #include <libmemif.h>",
            ".PP",
            *(f"\\fB{line}\\fR" for line in code),
            ".fi",
        ]

    def _prose(self, said: list[tuple[str, str]]) -> list[str]:
        lines: list[str] = []
        before = ""
        for name, text in said:
            if name:
                words = ", ".join(f"\\fI{word}\\fR" for word in name.split(", "))
                lines += [".TP", words, self._text(text)]
            else:
                lines += [".PP", self._text(text)] if lines or before else [self._text(text)]
            before = name
        return lines

    def _constants(self) -> list[str]:
        lines = [".SH ERRORS"]
        for member in self.header["memif_err_t"].members:
            name, _, value = member.declaration.partition(" = ")
            text = member.comment or ("Success: 0." if value == "0" else "")
            lines += [".TP", f".B {name}", self._text(text)]
        return lines

    def _types(self) -> list[str]:
        lines = [".SH TYPES"]
        for item in self.header.of("type", "callback", "enum", "struct"):
            if item.name == "memif_err_t":
                continue
            lines += [f".SS {item.name}"]
            lines += self._prose(paragraphs(item.comment)) if item.comment else []
            lines += [".PP"] if item.comment else []
            lines += [".nf", *map(literal, item.declaration.splitlines()), ".fi"]
        return lines

    def _related(self, item: Item) -> list[str]:
        """The functions that the page names, and those beside it in the header."""
        order = [function.name for function in self.header.of("function")]
        at = order.index(item.name)
        near = {*order[max(at - 1, 0) : at], *order[at + 1 : at + 2]}
        named = set(re.findall(r"\bmemif_\w+", item.comment)) & self.functions
        return [f"{name}({self.section})" for name in sorted((near | named) - {item.name})]

    def _see_also(self, references: list[str]) -> list[str]:
        lines = [".SH SEE ALSO"]
        for number, reference in enumerate(references):
            name, section = reference.rstrip(")").split("(")
            comma = "" if number == len(references) - 1 else " ,"
            lines.append(f".BR {name} ({section}){comma}")
        return lines

    def _text(self, text: str, *, marked: bool = True) -> str:
        """A paragraph: escaped, with functions and code in their fonts."""
        text = text.replace("\\", "\\e")
        if marked:
            text = re.sub(r"`([^`]+)`", r"\\fI\1\\fR", text)
            text = re.sub(r"\b(memif_\w+|MEMIF_\w+)\b", self._reference, text)
        else:
            text = text.replace("`", "")
        text = text.replace(" -1", " \\-1")
        return "\n".join(re.sub(r"^([.'])", r"\\&\1", line) for line in filled(text))

    def _reference(self, match: re.Match[str]) -> str:
        name = match[1]
        section = f"({self.section})" if name in self.functions else ""
        return f"\\fB{name}\\fR{section}"


def filled(text: str) -> list[str]:
    """Lines of a paragraph."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def literal(line: str) -> str:
    """A line that is shown as it is."""
    line = line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^([.])", r"\\&\1", line)


def _day(api: str) -> str:
    """The header's day, or the one that a reproducible build gives."""
    moment = os.environ.get("SOURCE_DATE_EPOCH")
    seconds = float(moment) if moment else (headers.FOLDERS[api] / "libmemif.h").stat().st_mtime
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", choices="37", metavar="SECTION", help="print file names")
    parser.add_argument("--write", nargs=2, metavar=("SECTION", "FOLDER"), help="write the pages")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(pages(options.list)))
    if options.write:
        section, folder = options.write
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, text in pages(section).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
