# SPDX-License-Identifier: Apache-2.0
"""Proves what README.md beside this file claims.

python proofs/handshake/enumerate.py           in seconds
python proofs/handshake/enumerate.py --full    in minutes, with more different messages and settings
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from handshake.claims import ClaimError
from handshake.proof import prove
from handshake.rules import Rules

if TYPE_CHECKING:
    from handshake.explorer import Found


def _shown(part: str, found: Found) -> str:
    return f"{part}: {found.states} states, {found.transitions} transitions, depth {found.depth}"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("--full", action="store_true", help="search everything, in minutes")
    full = parser.parse_args().full
    try:
        found = prove(Rules(), full=full, say=lambda *part: print(_shown(*part), flush=True))
    except ClaimError as error:
        print(f"handshake: {error}", file=sys.stderr)
        return 1
    print(f"{_shown('handshake', found)}: all claims hold")
    return 0


_Formatter = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    sys.exit(main())
