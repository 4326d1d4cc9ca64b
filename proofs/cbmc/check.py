# SPDX-License-Identifier: Apache-2.0
"""Shows what README.md beside this file claims of the data path. Needs cbmc (Debian 13).

python proofs/cbmc/check.py             the proofs
python proofs/cbmc/check.py --short     those that take the least time
python proofs/cbmc/check.py --faults    puts faults into the sources: a proof has to find each
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cbmc.fault import Fault, is_found
from cbmc.faults import FAULTS
from cbmc.proof import ROOT, SHORT, SHOWN, Proof, check, every_proof

# Of `--short --faults`.
SHORT_FAULTS = 2

Outcome = tuple[bool, str]


def _prove(proof: Proof, trace: bool) -> Outcome:
    begin = time.monotonic()
    good, said = check(proof, ROOT, *(["--trace"] if trace else []))
    seconds = time.monotonic() - begin
    failed = [line for line in said.splitlines() if trace or line.endswith(": FAILURE")]
    text = [f"{proof}: {'shown' if good else 'FAILED'}, {seconds:.0f} s"]
    return good, "\n".join(text if good else text + failed)


def _find(fault: Fault) -> Outcome:
    good = is_found(fault)
    return good, f"{fault.name}: {'found' if good else 'NOT FOUND'} by {fault.proof}"


def _tasks(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    if args.faults:
        for fault in FAULTS[: SHORT_FAULTS if args.short else None]:
            yield fault.name, partial(_find, fault)
        return
    proofs = SHORT if args.short else tuple(every_proof()) if args.all else SHOWN
    for each in proofs:
        proof = replace(each, slots=args.slots) if args.slots else each
        yield str(proof), partial(_prove, proof, args.trace)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="only what takes the least time")
    parser.add_argument("--all", action="store_true", help="also what nobody has seen through")
    parser.add_argument("--faults", action="store_true", help="only the faults")
    parser.add_argument("--list", action="store_true", help="only list what would be done")
    parser.add_argument("--only", default="", metavar="TEXT", help="with this text in the name")
    parser.add_argument("--slots", type=int, metavar="N", help="of the ring (default 2 or 4)")
    parser.add_argument("--trace", action="store_true", help="print how a claim can fail")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="at a time (default 1)")
    args = parser.parse_args()
    if not args.list and shutil.which("cbmc") is None:
        parser.error("found no cbmc, which Debian has from 13 on: use ./bootstrap prove")
    return args


def main() -> int:
    """Run the command line."""
    args = _arguments()
    tasks = [task for name, task in _tasks(args) if args.only in name]
    if args.list:
        print(*[name for name, _ in _tasks(args) if args.only in name], sep="\n")
        return 0
    if not tasks:
        print(f"--only {args.only}: there is none", file=sys.stderr)
        return 2
    good = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for shown, text in pool.map(lambda task: task(), tasks):
            good += shown
            print(text, flush=True)
    print(f"cbmc: {good} of {len(tasks)} {'faults found' if args.faults else 'proofs shown'}")
    return good < len(tasks)


if __name__ == "__main__":
    sys.exit(main())
