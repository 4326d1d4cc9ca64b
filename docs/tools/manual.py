# SPDX-License-Identifier: Apache-2.0
"""The manual pages of the C APIs, made from the headers.

    manual.py --list SECTION             names of the pages of section 3 or 7
    manual.py --write SECTION FOLDER     write them

One page a function, `memif_create.3memif1` for the 1.0 API, `memif_create.3memif4` for that
of 4.0, and an overview of each, `libmemif1.7` and `libmemif4.7`. The functions of memif_ext.h have
a page in both, and one overview, `memif_ext.7`. meson calls this at build time.
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
    for api in LIBRARIES:
        for writer in (Writer(api), ExtensionWriter(api)):
            if section == "7":
                made[f"{writer.name}.7"] = writer.overview()
                continue
            for item in writer.header.of("function"):
                made[f"{item.name}.{SECTIONS[api]}"] = writer.function(item)
    return made


class Writer:
    """Writes the pages of one header."""

    file = "libmemif.h"

    def __init__(self, api: str) -> None:
        """Of the interface `api`."""
        self.library = LIBRARIES[api]
        self.name = self.library
        self.section = SECTIONS[api]
        self.api = api
        self.header: Header = headers.load(api, self.file)
        self.functions = {item.name for item in self.header.of("function")}
        self.day = _day(api)
        self.beside = [
            "libmemif(7)",
            f"{LIBRARIES[_OTHER[api]]}(7)",
            "memif_ext(7)",
            f"memif_create({self.section})",
        ]
        self.version = f"libmemif {api}"
        self.what = f", interface {api}"

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
        lines += self._see_also([f"{self.name}(7)", *self._related(item)])
        return "\n".join(lines) + "\n"

    def overview(self) -> str:
        """The page of the library."""
        said = paragraphs(self.header.overview)
        what = said[0][1].partition(": ")[2]
        functions = self.header.of("function")
        lines = [
            *self._top(self.name, "7"),
            *self._name(self.name, f"{what.rstrip('.')}{self.what}"),
            ".SH SYNOPSIS",
            ".nf",
            f".B #include <{self.file}>",
            ".fi",
            ".PP",
            *self._compiler(),
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
        lines += self._see_also(self.beside)
        return "\n".join(lines) + "\n"

    def _compiler(self) -> list[str]:
        return [f"cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs {self.library})"]

    def _top(self, name: str, section: str) -> list[str]:
        """The title; long names are neither hyphenated nor pulled apart."""
        title = f'.TH {name} {section} "{self.day}" "{self.version}" "libmemif manual"'
        return [title, ".nh", ".ad l"]

    def _name(self, name: str, what: str) -> list[str]:
        return [".SH NAME", f"{name} \\- {self._text(what[0].lower() + what[1:], marked=False)}"]

    def _synopsis(self, item: Item) -> list[str]:
        code = [literal(line) for line in f"{item.declaration};".splitlines()]
        return [
            ".SH SYNOPSIS",
            ".nf",
            f".B #include <{self.file}>",
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


class ExtensionWriter(Writer):
    """Writes the pages of memif_ext.h, which both interfaces have."""

    file = headers.EXTENSIONS

    def __init__(self, api: str) -> None:
        """Of the interface `api`; the overview is the same for both."""
        super().__init__(api)
        self.name = "memif_ext"
        self.beside = ["libmemif(7)", *(f"{library}(7)" for library in LIBRARIES.values())]
        self.version = "libmemif-py"
        self.what = ""

    def _compiler(self) -> list[str]:
        lines = [
            f"cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs {library})"
            for library in LIBRARIES.values()
        ]
        return [line for each in lines for line in (each, ".br")][:-1]

    def _constants(self) -> list[str]:
        lines = [".SH CONSTANTS", ".nf"]
        lines += [literal(f"#define {item.declaration}") for item in self.header.of("macro")]
        return [*lines, ".fi"]


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
