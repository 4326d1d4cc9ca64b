# SPDX-License-Identifier: Apache-2.0
"""What is changed in a module of Python, one change at a time.

Operators, numbers, keywords and arms of expressions are changed as mutmut does it. mutmut itself
leaves alone what most of the control plane consists of: statements, whole conditions, blocks of
`with` and `finally`, and tables outside functions. Texts stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

Change = Callable[[Any], Iterable[cst.CSTNode]]


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    where: str
    """Class and function."""
    first: int
    """Line where the changed statement, or its head, begins."""
    last: int
    old: str
    """Changed lines, without indentation."""
    new: str
    text: str
    """Of the whole module."""
    in_function: bool
    """Or run when the module is imported."""


NAME, TRUE, FALSE = cst.Name, cst.Name("True"), cst.Name("False")
PASS = cst.SimpleStatementLine([cst.Pass()])
SMALL = (cst.Expr, cst.Raise, cst.Del, cst.AugAssign, cst.Return)


def _without_statement(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """A call, a raise, a return, a del, or the change of an attribute or of an element."""
    (small, *rest) = node.body
    if rest:
        return
    if isinstance(small, cst.Return) and small.value is not None:
        if not m.matches(small.value, m.Name("None")):
            yield node.with_changes(body=[cst.Return()])
    elif m.matches(small, m.Expr(value=m.SimpleString() | m.Yield() | m.Ellipsis())):
        return
    elif isinstance(small, SMALL) or m.matches(
        small, m.Assign(targets=[m.AssignTarget(target=m.Attribute() | m.Subscript())])
    ):
        yield node.with_changes(body=[cst.Pass()])


def _condition(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.CompIf):
        yield node.with_changes(test=TRUE, whitespace_before_test=cst.SimpleWhitespace(" "))
        return
    if m.matches(node.test, m.Name("TYPE_CHECKING") | m.Name("True")):
        return
    space = cst.SimpleWhitespace(" ")
    if isinstance(node, cst.While):
        yield node.with_changes(test=FALSE, whitespace_after_while=space)
        return
    yield node.with_changes(test=FALSE, whitespace_before_test=space)
    yield node.with_changes(test=TRUE, whitespace_before_test=space)


def _one_side(node: cst.BooleanOperation) -> Iterator[cst.CSTNode]:
    for side in (node.left, node.right):
        yield side.with_changes(lpar=[*node.lpar, *side.lpar], rpar=[*side.rpar, *node.rpar])


def _without_manager(node: cst.With) -> Iterator[cst.CSTNode]:
    """A lock that is not taken, an error that is not caught."""
    if all(item.asname is None for item in node.items) and node.asynchronous is None:
        yield cst.If(test=TRUE, body=node.body, leading_lines=node.leading_lines)


def _without_end(node: cst.Try) -> Iterator[cst.CSTNode]:
    if node.finalbody is not None:
        yield node.with_changes(
            finalbody=node.finalbody.with_changes(body=cst.IndentedBlock([PASS]))
        )
    for handler in node.handlers:
        again = cst.IndentedBlock([cst.SimpleStatementLine([cst.Raise()])])
        if not handler.body.deep_equals(again):
            others = [h.with_changes(body=again) if h is handler else h for h in node.handlers]
            yield node.with_changes(handlers=others)


def _mutmut(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, change in mutators.mutation_operators:
        if change in USED and isinstance(node, kind):
            yield from cast("Change", change)(node)


USED = (
    mutators.operator_number,
    mutators.operator_name,
    mutators.operator_remove_unary_ops,
    mutators.operator_keywords,
    mutators.operator_swap_op,
    mutators.operator_if_exp,
)
OWN: tuple[tuple[tuple[type, ...], Change], ...] = (
    ((cst.SimpleStatementLine,), _without_statement),
    ((cst.If, cst.While, cst.CompIf), _condition),
    ((cst.BooleanOperation,), _one_side),
    ((cst.With,), _without_manager),
    ((cst.Try,), _without_end),
    ((cst.CSTNode,), _mutmut),
)
# Not run, or not ours to change.
SKIPPED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Parameters)

FOR_TYPE_CHECKERS = m.If(test=m.Name("TYPE_CHECKING")) | m.Assign(
    targets=[m.AssignTarget(target=m.Name("TYPE_CHECKING"))]
)


def _is_skipped(node: cst.CSTNode) -> bool:
    return isinstance(node, SKIPPED) or m.matches(node, FOR_TYPE_CHECKERS)


class _Finder(cst.CSTVisitor):
    """Finds what can be changed, with the statement around it."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, int, int, bool, str]] = []
        self._functions = 0
        self._names: list[str] = []
        self._lines: list[tuple[int, int]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Note the changes of a node."""
        if _is_skipped(node):
            return False
        if isinstance(node, (cst.BaseCompoundStatement, cst.SimpleStatementLine)):
            place = self.get_metadata(PositionProvider, node)
            last = place.end.line
            if isinstance(node, cst.BaseCompoundStatement):
                body = self.get_metadata(PositionProvider, node.body)
                last = max(place.start.line, body.start.line - 1)
            self._lines.append((place.start.line, last))
        if isinstance(node, cst.FunctionDef):
            self._functions += 1
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            self._names.append(node.name.value)
        where = ".".join(self._names)
        for kinds, change in OWN:
            if isinstance(node, kinds):
                for new in change(node):
                    found = (node, new, *self._lines[-1], self._functions > 0, where)
                    self.found.append(found)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """Leave the statement."""
        if _is_skipped(original_node):
            return
        if isinstance(original_node, (cst.BaseCompoundStatement, cst.SimpleStatementLine)):
            self._lines.pop()
        if isinstance(original_node, cst.FunctionDef):
            self._functions -= 1
        if isinstance(original_node, (cst.FunctionDef, cst.ClassDef)):
            self._names.pop()


def mutants(text: str) -> Iterator[Mutant]:
    """Return a module's mutants, each once, from its first line to its last."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    finder = _Finder()
    wrapper.visit(finder)
    seen = {text}
    for node, new, first, last, in_function, where in sorted(finder.found, key=lambda f: f[2]):
        # Whatever is replaced in a module, it is one afterwards.
        changed = cast("cst.Module", wrapper.module.deep_replace(node, new)).code
        if changed not in seen and _compiles(changed):
            seen.add(changed)
            old_lines, new_lines = _difference(text.splitlines(), changed.splitlines())
            yield Mutant(where, first, last, old_lines, new_lines, changed, in_function)


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _difference(old: list[str], new: list[str]) -> tuple[str, str]:
    """Return the lines that differ, without those before and after."""
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    end = 0
    while end < min(len(old), len(new)) - same and old[-1 - end] == new[-1 - end]:
        end += 1
    parts = (old[same : len(old) - end], new[same : len(new) - end])
    return tuple(" / ".join(line.strip() for line in part) for part in parts)  # type: ignore[return-value]
