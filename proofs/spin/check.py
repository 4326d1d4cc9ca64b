# SPDX-License-Identifier: Apache-2.0
"""Has spin search the models of this folder: all interleavings, within their bounds.

Also compares the functions that the models stand for with the record of what they were when
somebody last looked at the model.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from spin import sources
from spin.models import MODELS, Setting

FOLDER = Path(__file__).parent
WORKERS = min(2, os.cpu_count() or 1)
# No search is longer than so many steps, nor takes so many MB or seconds.
DEPTH, MEMORY, PATIENCE = 200_000, 3000, 900


@dataclass(frozen=True)
class Search:
    """What spin found."""

    states: int
    found: str
    """What is wrong; empty if nothing is."""
    trail: str = ""
    """How it comes to that, step by step."""

    @classmethod
    def of(cls, output: str) -> Search:
        """Read what a search printed."""
        errors, states = _number(r"errors: +(\d+)", output), _number(r"(\d+) states, st", output)
        problem = re.search(r"pan:1: (.*) \(at depth", output)
        is_complete = not re.search("not completed|depth too small", output)
        if errors is None or states is None or (errors == 0 and not is_complete):
            raise RuntimeError(f"the search did not end:\n{output}")
        return cls(states, problem[1] if problem and errors else "")


def _number(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text)
    return int(match[1]) if match else None


def search(
    name: str, setting: Setting, *, with_trail: bool = False, is_long: bool = False
) -> Search:
    """Search all that a model can do with a setting.

    A short search takes less time than a compiler needs to make it fast.
    """
    defines = [f"-D{word}" for word in setting]
    with tempfile.TemporaryDirectory() as place:
        for file in FOLDER.glob("*.pml"):
            shutil.copy(file, place)
        _run(["spin", *defines, "-a", f"{name}.pml"], place)
        options = [
            "-O1" if is_long else "-O0",
            "-w",
            "-DSAFETY",
            f"-DMEMLIM={MEMORY}",
            "-DVECTORSZ=2048",
        ]
        _run(["gcc", *options, "-o", "pan", "pan.c"], place)
        found = Search.of(_run(["./pan", f"-m{DEPTH}", "-n"], place))
        if not found.found or not with_trail:
            return found
        trail = _run(["spin", *defines, "-t", "-p", f"{name}.pml"], place)
        return Search(found.states, found.found, trail)


def _run(command: list[str], place: str) -> str:
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def shown(name: str, setting: Setting) -> str:
    """A setting as a reader types it."""
    return " ".join([name, *setting])


def check(names: list[str], full: bool, faults: bool) -> Iterator[str]:
    """Search; yield what is wrong, and print the verdicts."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for name in names:
            model = MODELS[name]
            good = [*((model.full or model.short) if full else model.short)]
            bad = dict(model.losses)
            if faults:
                bad |= {(f"FAULT_{f}", *s): "a seeded fault" for f, s in model.faults.items()}
            results = pool.map(lambda s, name=name: search(name, s, is_long=full), [*good, *bad])
            states, problems = 0, []
            for setting, result in zip([*good, *bad], results, strict=True):
                if setting in bad:
                    print(f"spin: {shown(name, setting)}: {bad[setting]}: {result.found or 'NO'}")
                    if not result.found:
                        problems.append(f"{shown(name, setting)}: nothing was found")
                else:
                    states += result.states
                    if result.found:
                        problems.append(f"{shown(name, setting)}: {result.found}")
            yield from problems
            print(f"spin: {name}: {states} states: {'FAILS' if problems else 'holds'}", flush=True)


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    bounds = parser.add_mutually_exclusive_group()
    bounds.add_argument("--short", action="store_true", help="small bounds; the default")
    bounds.add_argument("--full", action="store_true", help="larger bounds")
    parser.add_argument("--faults", action="store_true", help="also find the seeded faults")
    parser.add_argument(
        "--show",
        metavar="NAME",
        nargs="+",
        help="a way to what is found with these names defined; needs one MODEL before it",
    )
    parser.add_argument(
        "--looked-at",
        metavar="MODEL",
        choices=MODELS,
        help="record the functions that it stands for as they are now",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.models) - set(MODELS):
        parser.error(f"no model: {', '.join(sorted(unknown))}")
    if arguments.looked_at:
        sources.record(arguments.looked_at)
        return 0
    names = arguments.models or list(MODELS)
    if arguments.show:
        result = search(names[0], tuple(arguments.show), with_trail=True)
        print(result.trail, result.found or "spin finds nothing")
        return 0
    problems = [*sources.changes(names), *check(names, arguments.full, arguments.faults)]
    for problem in problems:
        print(f"spin: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
