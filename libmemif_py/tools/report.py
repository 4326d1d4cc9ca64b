# SPDX-License-Identifier: Apache-2.0
"""Results of commands as JSON."""

from __future__ import annotations

import json
from typing import Any

_DIGITS = 6
"""No measurement of a command is more exact."""


def json_text(value: Any) -> str:
    """The JSON of counts, which stay exact, and of measurements, rounded to six digits."""
    return json.dumps(_rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
