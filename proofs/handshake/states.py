# SPDX-License-Identifier: Apache-2.0
"""A machine as a value: equal values behave equally from then on.

The value has everything that the machine remembers, whatever its fields are called. Only the order
of what was added to a dictionary is left out: it decides no more than which of several faults the
reason names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .protocol import Fd
from .rules import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Hashable

_ATOMS = frozenset((int, bool, str, bytes, type(None), Fd))
_records: dict[int, tuple[Any, Hashable]] = {}  # with the record, so that its id is its own


def frozen(value: Any) -> Hashable:
    """The value of a machine, or of a part of one."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        return frozenset([(k, v if type(v) in _ATOMS else frozen(v)) for k, v in value.items()])
    if kind is list or kind is tuple:
        return tuple([v if type(v) in _ATOMS else frozen(v) for v in value])
    if kind is set:
        return frozenset(map(frozen, value))
    if not kind.__module__.startswith(PACKAGE):
        hash(value)  # settings and functions of ours, which do not change
        return value
    is_record = not hasattr(value, "__dict__")
    return _frozen_record(value) if is_record else (kind.__name__, frozen(value.__dict__))


def _frozen_record(record: Any) -> Hashable:
    """Copies of a machine share their messages and actions, which are never changed."""
    known = _records.get(id(record))
    if known is None:
        fields = (frozen(getattr(record, name)) for name in record.__slots__)
        known = _records[id(record)] = (record, (type(record).__name__, *fields))
    return known[1]


def clone(machine: Any) -> Any:
    """A copy that shares nothing that can change."""
    return _copied(machine, {})


def _copied(value: Any, known: dict[int, Any]) -> Any:
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    if id(value) in known:
        return known[id(value)]
    made: Any = value
    if kind is dict:
        made = known[id(value)] = {
            k: v if type(v) in _ATOMS else _copied(v, known) for k, v in value.items()
        }
    elif kind is list:
        made = known[id(value)] = [_copied(item, known) for item in value]
    elif kind is set:
        made = known[id(value)] = set(value)
    elif kind.__module__.startswith(PACKAGE) and hasattr(value, "__dict__"):
        made = known[id(value)] = kind.__new__(kind)
        attributes = made.__dict__
        for name, item in value.__dict__.items():
            attributes[name] = item if type(item) in _ATOMS else _copied(item, known)
    return made


def descriptors(value: Hashable) -> set[Fd]:
    """Those in a value."""
    if isinstance(value, Fd):
        return {value}
    if isinstance(value, tuple | frozenset):
        return set().union(*map(descriptors, value))
    return set()
