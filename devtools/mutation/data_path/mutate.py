# SPDX-License-Identifier: Apache-2.0
"""`./bootstrap mutate`: does a test notice each change of the data path?

One build has all mutants. A test runs with those that it reaches and that would make a difference
there. What is known of each mutant is kept in build-mutation/outcomes.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data_path import scratch
from data_path.places import Mutant
from data_path.record import FILE, Record
from data_path.trials import Survey, find_tests, survey

OUTCOMES = scratch.SCRATCH / "outcomes.json"
UNTRIED, UNREACHED, SURVIVED, KILLED = "untried", "unreached", "survived", "killed"
EQUIVALENT = "equivalent"
# The tests that are run, by build; each stage runs with what survived those before.
STAGES = {
    "data path": ("plain", False),
    "sanitizers": ("asan", False),
    "whole library": ("plain", True),
}


def _key(mutant: Mutant) -> str:
    place = mutant.place
    return f"{place.file}|{place.function}|{place.text}|{place.nth}|{mutant.change}"


class Campaign:
    """Runs stages, and remembers how each mutant fared."""

    def __init__(self, mutants: list[Mutant], outcomes: dict[str, str]) -> None:
        """Begin with what is known."""
        self.mutants = mutants
        self.outcomes = outcomes

    def outcome(self, mutant: Mutant) -> str:
        """Return how a mutant fared so far."""
        return self.outcomes.get(_key(mutant), UNTRIED)

    def is_killed(self, mutant: Mutant) -> bool:
        """Say whether a test noticed it."""
        return self.outcome(mutant).startswith(KILLED)

    def run(self, chosen: list[Mutant], stage: str, limits: argparse.Namespace) -> None:
        """Run the tests of a stage with the mutants that nothing has noticed yet."""
        build, through_python = STAGES[stage]
        left = [mutant for mutant in chosen if not self.is_killed(mutant)]
        folder = scratch.build(build)
        tests = find_tests(folder, through_python=through_python)
        most = max(mutant.number for mutant in self.mutants) + 1
        known = survey(tests, most, limits.longest)
        print(f"{stage}: {len(known.reached)} tests, {len(left)} mutants", flush=True)
        with ThreadPoolExecutor(limits.workers) as pool:
            for done, _ in enumerate(
                pool.map(lambda m: self._try(m, known, limits.budget), left), 1
            ):
                if done % 50 == 0:
                    print(f"{stage}: {done} of {len(left)}", flush=True)
                    self.keep()
        self.keep()

    def _try(self, mutant: Mutant, known: Survey, budget: float) -> None:
        if not known.reaching(mutant.number):
            self.outcomes.setdefault(_key(mutant), UNREACHED)
            return
        test = known.noticed_by(mutant.number, budget)
        self.outcomes[_key(mutant)] = f"{KILLED} by {test}" if test else SURVIVED

    def keep(self) -> None:
        """Write the outcomes of mutants that there still are."""
        keys = [key for key in map(_key, self.mutants) if key in self.outcomes]
        OUTCOMES.write_text(json.dumps({key: self.outcomes[key] for key in keys}, indent=0))


def report(campaign: Campaign, chosen: Iterable[Mutant], record: Record) -> int:
    """Print the table and the survivors; returns how many are not in the record."""
    table: dict[str, Counter[str]] = {}
    left: dict[str, list[Mutant]] = {SURVIVED: [], UNREACHED: []}
    for mutant in chosen:
        outcome = KILLED if campaign.is_killed(mutant) else campaign.outcome(mutant)
        why = record.why(mutant)
        if outcome == KILLED and why is not None:
            print(f"recorded as equivalent, but {campaign.outcome(mutant)}: {mutant}")
        elif why is not None:
            outcome = EQUIVALENT
        else:
            left.get(outcome, []).append(mutant)
        table.setdefault(mutant.place.file, Counter())[outcome] += 1
    for title, mutants in left.items():
        print(f"\n{title}:", *mutants, sep="\n  ")
    columns = (KILLED, EQUIVALENT, SURVIVED, UNREACHED, UNTRIED)
    print(f"\n{'file':34}{'mutants':>9}" + "".join(f"{column:>12}" for column in columns))
    table["all"] = sum(table.values(), Counter())
    for file, row in table.items():
        counts = "".join(f"{row[column]:12}" for column in columns)
        print(f"{file:34}{row.total():9}{counts}")
    return sum(map(len, left.values()))


def main() -> int:
    """Run it; 1 if a mutant survives that is not in the record."""
    parser = argparse.ArgumentParser(prog="./bootstrap mutate", description=__doc__)
    parser.add_argument("--only", metavar="FILE", action="append", help="such as core/room.c")
    parser.add_argument("--again", action="store_true", help="only what nothing noticed last time")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--report", action="store_true", help="only what is known, run nothing")
    parser.add_argument(
        "--longest", type=float, default=1.0, metavar="SECONDS", help="leave out slower tests"
    )
    parser.add_argument(
        "--budget", type=float, default=60.0, metavar="SECONDS", help="of tests with each mutant"
    )
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mutants = scratch.write_sources()
    only = args.only or list(dict.fromkeys(mutant.place.file for mutant in mutants))
    chosen = [mutant for file in only for mutant in mutants if mutant.place.file == file]
    if not chosen:
        parser.error(f"--only {args.only}: expected one of {', '.join(scratch.mutated_files())}")
    record = Record(FILE.read_text())
    outcomes = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    campaign = Campaign(mutants, outcomes)
    if not args.again and not args.report:
        for mutant in chosen:
            outcomes.pop(_key(mutant), None)
    for stage in () if args.report else args.stages:
        unrecorded = [mutant for mutant in chosen if record.why(mutant) is None]
        campaign.run(unrecorded, stage, args)
    for entry in Record(FILE.read_text()).stale(mutants):
        print(f"{Path(FILE.name)}: fits no mutant: {entry}")
    return int(report(campaign, chosen, record) > 0)


if __name__ == "__main__":
    sys.exit(main())
