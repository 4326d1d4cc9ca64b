# SPDX-License-Identifier: Apache-2.0
"""The functions that the models stand for, and the record of what they were (record.json)."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from spin.models import MODELS

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
RECORD = FOLDER / "record.json"
_C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def functions_of(name: str) -> Iterator[tuple[str, str]]:
    """Files and functions that a model stands for."""
    for line in MODELS[name].stands_for:
        file, functions = line.split(": ")
        yield from ((file, function) for function in functions.split())


def text_of(file: str, function: str, root: Path = ROOT) -> str:
    """A function's text, without comments and white space. Raises LookupError."""
    source = (root / file).read_text()
    found = _in_python(source, function) if file.endswith(".py") else _in_c(source, function)
    return re.sub(r"\s+", "", found)


def _in_c(source: str, function: str) -> str:
    source = _C_COMMENT.sub("", source)
    begin = re.search(rf"^(?=\S).*\b{function}\([^;{{}}]*\)\s*\{{", source, re.MULTILINE)
    end = begin and re.compile(r"^\}", re.MULTILINE).search(source, begin.end())
    if begin is None or end is None:
        raise LookupError(function)
    return source[begin.start() : end.end()]


def _in_python(source: str, function: str) -> str:
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column] + "\n"
    node: ast.AST = ast.parse(source)
    for name in function.split("."):
        inside = [n for n in getattr(node, "body", []) if getattr(n, "name", None) == name]
        if not inside:
            raise LookupError(function)
        node = inside[-1]
    if not isinstance(node, ast.FunctionDef):
        raise LookupError(function)
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        for row in range(docstring.lineno, (docstring.end_lineno or 0) + 1):
            lines[row - 1] = ""
    return "".join(lines[node.lineno - 1 : node.end_lineno])


def hashes_of(name: str, root: Path = ROOT) -> dict[str, str]:
    """By file and function; empty for a function that is not there."""
    found = {}
    for file, function in functions_of(name):
        try:
            text = text_of(file, function, root)
        except (LookupError, OSError):
            text = ""
        found[f"{file}: {function}"] = text and hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def changes(names: list[str], root: Path = ROOT) -> list[str]:
    """What is not as it was when somebody last looked at the model."""
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    found = []
    for name in names:
        then, now = recorded.get(name, {}), hashes_of(name, root)
        for place in sorted({*then, *now}):
            if not now.get(place) or then.get(place) != now[place]:
                found.append(
                    f"{place} is not as it was: look at model {name}, proofs/spin/{name}.pml, then "
                    f"update its record by `python proofs/spin/check.py --looked-at {name}`"
                )
    return found


def record(name: str) -> None:
    """Somebody has looked at the model. Raises LookupError for a function that is not there."""
    for file, function in functions_of(name):
        text_of(file, function)
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    recorded[name] = hashes_of(name)
    RECORD.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
