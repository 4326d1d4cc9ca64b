# SPDX-License-Identifier: Apache-2.0
"""The lines that Wireshark expects as answers. Its manual page extcap(4) describes them."""

from __future__ import annotations

import os

from libmemif_py.control.wire import printable

# Braces surround each field, and there is no way to write one inside of a field.
_BRACES = str.maketrans("{}", "()")


def sentence(kind: str, **fields: object) -> str:
    """One line: its kind, and its fields in order. A field that is None is left out."""
    parts = [f"{{{name}={_text(value)}}}" for name, value in fields.items() if value is not None]
    return f"{kind} {''.join(parts)}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return printable(os.fsencode(str(value))).translate(_BRACES)
