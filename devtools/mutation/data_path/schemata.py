# SPDX-License-Identifier: Apache-2.0
"""Writes a C source with all of its mutants in it, each behind `mutant(NUMBER)` of mutant.h."""

from __future__ import annotations

from tree_sitter import Node

from data_path.places import LOOSER, Finder, Mutant, arguments, called, operands, parse


def rewrite(file: str, source: bytes, first: int = 1) -> tuple[bytes, list[Mutant]]:
    """Return the mutated source of a file, and its mutants, numbered from `first` on."""
    root = parse(source)
    finder = Finder(file, root, first)
    return _Writer(source, finder.changes).write(root), finder.mutants


class _Writer:
    def __init__(self, source: bytes, changes: dict[int, list[Mutant]]) -> None:
        self._source = source
        self._changes = changes

    def write(self, node: Node) -> bytes:
        numbers = {mutant.change: mutant.number for mutant in self._changes.get(node.id, ())}
        if not numbers:
            return self._plain(node)
        if node.type == "expression_statement":
            return b"{ if (!mutant(%d)) %s }" % (numbers["dropped"], self._plain(node))
        text = self._value(node, numbers)
        if "true" in numbers:
            text = b"((%s) || mutant(%d))" % (text, numbers["true"])
        if "false" in numbers:
            text = b"((%s) && !mutant(%d))" % (text, numbers["false"])
        return text

    def _plain(self, node: Node) -> bytes:
        """The node with its children written anew."""
        parts, at = [], node.start_byte
        for child in node.children:
            parts += [self._source[at : child.start_byte], self.write(child)]
            at = child.end_byte
        return b"".join([*parts, self._source[at : node.end_byte]])

    def _value(self, node: Node, numbers: dict[str, int]) -> bytes:
        if called(node) and ("left" in numbers or "right" in numbers):
            return self._of_vectors(node, numbers)
        if node.type != "binary_expression":
            return self._plain(node)
        operator = operands(node)[1]
        if operator in LOOSER:
            return self._comparison(node, numbers)
        if "left" in numbers or "right" in numbers:
            return self._arithmetic(node, numbers)
        return self._plain(node)

    def _comparison(self, node: Node, numbers: dict[str, int]) -> bytes:
        """Each operand is evaluated once. A mutant is asked for where its answer is another one."""
        left, operator, right = operands(node)
        looser = LOOSER[operator]
        bounded = {
            "<": "m_l < m_r && m_l + 1 != m_r",
            ">": "m_l > m_r && m_l != m_r + 1",
            "<=": "m_l <= m_r || m_l == m_r + 1",
            ">=": "m_l >= m_r || m_l + 1 == m_r",
        }[operator]
        other = next(change for change in numbers if change.startswith("one "))
        return (
            self._with_operands(left, right)
            + (
                f"int m_is = m_l {operator} m_r, m_a = m_l {looser} m_r, m_b = {bounded}; "
                f"(m_a != m_is && mutant({numbers[looser]})) || (m_b != m_is && "
                f"mutant({numbers[other]})) ? !m_is : m_is; }})"
            ).encode()
        )

    def _arithmetic(self, node: Node, numbers: dict[str, int]) -> bytes:
        left, operator, right = operands(node)
        text = f"__auto_type m_v = m_l {operator} m_r; "
        for side, name in (("left", "m_l"), ("right", "m_r")):
            if side in numbers:
                other = f"(__typeof__(m_v)){name}"
                text += f"if (m_v != {other} && mutant({numbers[side]})) m_v = {other}; "
        return self._with_operands(left, right) + text.encode() + b"m_v; })"

    def _with_operands(self, left: Node, right: Node) -> bytes:
        """Adding 0 promotes as the operator does, and reads what is a bit-field or atomic."""
        return b"({ __auto_type m_l = (%s) + 0; __auto_type m_r = (%s) + 0; " % (
            self.write(left),
            self.write(right),
        )

    def _of_vectors(self, node: Node, numbers: dict[str, int]) -> bytes:
        left, right = (self.write(argument) for argument in arguments(node))
        text = b"({ __auto_type m_l = %s; __auto_type m_r = %s; __auto_type m_v = %s(m_l, m_r); "
        written = text % (left, right, called(node).encode())
        for side, name in (("left", b"m_l"), ("right", b"m_r")):
            if side in numbers:
                written += b"if (mutant(%d)) m_v = %s; " % (numbers[side], name)
        return written + b"m_v; })"
