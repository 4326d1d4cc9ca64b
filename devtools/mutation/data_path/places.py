# SPDX-License-Identifier: Apache-2.0
"""Where a C source can be changed, and how.

| change | of |
|---|---|
| `true`, `false` | a condition or a comparison: it is evaluated, but its value is not used |
| `<=` for `<` and so on, `one less`, `one more` | the bound of a comparison |
| `left`, `right` | what stays of a sum, a difference, a remainder or a mask |
| `dropped` | a statement: a call, an assignment |

The name of a mutant is its place: file, function, text, and which of the places with that text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_c
from tree_sitter import Language, Node, Parser

# Words that a parser without a preprocessor takes for types, and what it reads in their place.
_WORDS = {b"MIF_INLINE": b"static    ", b"MIF_JUMP_TARGET": b"               "}
_TRANSPARENT = ("MIF_LIKELY", "MIF_UNLIKELY")
# Calls that only say something.
_REMARKS = ("MIF_DEBUG",)
LOOSER = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_ONE_MORE = {"<": "one less", ">": "one more", "<=": "one more", ">=": "one less"}
_COMPARISONS = (*LOOSER, "==", "!=")
_ARITHMETIC = ("+", "-", "%", "&")
# Of vectors: which operands may stay.
_VECTOR_CALLS = {"mif_vec_or": ("left", "right"), "mif_vec_add": ("left",)}
_SKIPPED = (
    *("preproc_def", "preproc_function_def", "preproc_include", "preproc_call"),
    *("enumerator_list", "sizeof_expression", "attribute_specifier", "offsetof_expression"),
    *("struct_specifier", "type_descriptor"),
)


@dataclass(frozen=True)
class Place:
    """Where mutants are."""

    file: str
    function: str
    text: str
    nth: int
    line: int

    def __str__(self) -> str:
        """Say it as compilers do."""
        nth = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.file}:{self.line}: {self.function}: {self.text}{nth}"


@dataclass(frozen=True)
class Mutant:
    """One change at one place."""

    number: int
    place: Place
    change: str

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.place} -> {self.change}"


def parse(source: bytes) -> Node:
    """Parse a source, which keeps its length."""
    for word, read in _WORDS.items():
        source = re.sub(rb"\b" + word + rb"\b", read, source)
    return Parser(Language(tree_sitter_c.language())).parse(source).root_node


def text_of(node: Node) -> str:
    """Return the text of a node, in one line."""
    return " ".join((node.text or b"").decode().split())


def operands(node: Node) -> tuple[Node, str, Node]:
    """Return both operands of a binary expression, and what is between them."""
    left, operator, right = (
        node.child_by_field_name(name) for name in ("left", "operator", "right")
    )
    if left is None or operator is None or right is None:
        raise ValueError(text_of(node))
    return left, operator.type, right


def arguments(node: Node) -> list[Node]:
    """Return the arguments of a call."""
    listed = node.child_by_field_name("arguments")
    return [] if listed is None else listed.named_children


def called(node: Node) -> str:
    """Return the name of what is called, if it is a call of a name."""
    function = node.child_by_field_name("function") if node.type == "call_expression" else None
    return text_of(function) if function is not None else ""


class Finder:
    """The changes of each node of a source."""

    def __init__(self, file: str, root: Node, first: int) -> None:
        """Find them, and number the mutants from `first` on."""
        self.changes: dict[int, list[Mutant]] = {}
        self.mutants: list[Mutant] = []
        self._wanted: dict[int, dict[str, None]] = {}
        self._file = file
        self._number = first
        for function in _functions(root):
            body = function.child_by_field_name("body")
            if body is not None:
                self._visit(body)
                self._name(_name_of(function), body)

    def _want(self, node: Node, *changes: str) -> None:
        self._wanted.setdefault(node.id, {}).update(dict.fromkeys(changes))

    def _visit(self, node: Node) -> None:
        if node.type in _SKIPPED or _is_constant(node) or called(node) in _REMARKS:
            return
        condition = node.child_by_field_name("condition")
        if condition is not None and not node.type.startswith("preproc"):
            self._force(condition, "true", "false")
        if node.type == "binary_expression":
            self._binary(node)
        elif node.type == "call_expression":
            self._want(node, *_VECTOR_CALLS.get(called(node), ()))
        elif node.type == "expression_statement" and _does_something(node):
            self._want(node, "dropped")
        for child in node.children:
            is_directive = node.type.startswith("preproc") and child == condition
            if not is_directive and node.type != "array_declarator":
                self._visit(child)

    def _binary(self, node: Node) -> None:
        left, operator, right = operands(node)
        if operator in ("&&", "||"):
            for operand in (left, right):
                self._force(operand, "true" if operator == "&&" else "false")
            # The other value of the whole is that of one operand.
            self._force(node, "false" if operator == "&&" else "true")
        elif operator in _COMPARISONS:
            self._force(node, "true", "false")
            if operator in LOOSER:
                self._want(node, LOOSER[operator], _ONE_MORE[operator])
        elif operator in _ARITHMETIC and not (_is_number(left) and _is_number(right)):
            self._want(node, "left", *(["right"] if operator == "+" else []))

    def _force(self, node: Node, *values: str) -> None:
        """Force a condition, or what it consists of."""
        if node.type == "parenthesized_expression":
            self._force(node.named_children[0], *values)
        elif called(node) in _TRANSPARENT:
            self._force(arguments(node)[0], *values)
        elif node.type == "binary_expression" and operands(node)[1] in ("&&", "||"):
            is_and = operands(node)[1] == "&&"
            self._want(node, *(v for v in values if v == ("false" if is_and else "true")))
        elif node.type not in ("number_literal", "true", "false"):
            self._want(node, *values)

    def _name(self, function: str, body: Node) -> None:
        seen: Counter[str] = Counter()
        for node in _walk(body):
            wanted = self._wanted.get(node.id)
            if not wanted:
                continue
            text = text_of(node)
            seen[text] += 1
            line = node.start_point[0] + 1
            place = Place(self._file, function, text, seen[text], line)
            made = [Mutant(self._number + i, place, change) for i, change in enumerate(wanted)]
            self._number += len(made)
            self.changes[node.id] = made
            self.mutants += made


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _functions(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.type == "function_definition":
            yield child
        else:
            yield from _functions(child)


def _name_of(function: Node) -> str:
    declarator = function.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "identifier":
        declarator = declarator.child_by_field_name("declarator")
    return "" if declarator is None else text_of(declarator)


def _is_number(node: Node) -> bool:
    return node.type in ("number_literal", "sizeof_expression")


def _is_constant(node: Node) -> bool:
    """Say whether C wants a constant expression here."""
    return (node.type == "declaration" and text_of(node).startswith("static")) or (
        called(node) == "_Static_assert"
    )


def _does_something(statement: Node) -> bool:
    """Say whether a statement is more than the remark that an argument is not used."""
    if not statement.named_children:
        return False
    inner = statement.named_children[0]
    if inner.type == "cast_expression":
        value = inner.child_by_field_name("value")
        return value is not None and value.type != "identifier"
    return called(inner) not in (*_REMARKS, "_Static_assert")
