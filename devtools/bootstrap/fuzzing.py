# SPDX-License-Identifier: Apache-2.0
"""`./bootstrap fuzz`: the targets of fuzz/, for a time or for a number of inputs."""

from __future__ import annotations

import argparse

import building
import environment
from console import become
from environment import VENV

FILE = "tests/hostile/test_fuzz.py"
# By target: the test that runs it.
TESTS = {
    "packet": "test_no_input_breaks_the_data_path[packet]",
    "entry": "test_no_input_breaks_the_data_path[entry]",
    "differential": "test_no_input_breaks_the_data_path[differential]",
    "protocol": "test_no_bytes_break_the_handshakes_for_long",
}


def fuzz(*arguments: str) -> None:
    """Run all targets one after another, or one; or find seeded faults."""
    args = _parse(arguments)
    environment.prepare("fuzz")
    building.must_install()
    building.must_make(building.FUZZ)
    if args.faults:
        become([VENV / "bin" / "python", "fuzz/faults.py"])
    if args.keep:
        found = building.FUZZ.folder / "found" / args.keep
        become([VENV / "bin" / "python", "fuzz/corpus.py", "keep", args.keep, found])
    targets = [args.only] if args.only else list(TESTS)
    option = f"--fuzz-seconds={args.seconds // len(targets)}"
    if args.runs is not None:
        option = f"--fuzz-runs={args.runs}"
    options = [option, *(["--fuzz-fast"] if args.fast else [])]
    tests = [f"{FILE}::{TESTS[target]}" for target in targets]
    become(["pytest", "-v", "-o", "faulthandler_timeout=0", *options, *tests])


def _parse(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./bootstrap fuzz")
    parser.add_argument("seconds", nargs="?", type=int, default=600, help="in all; default 600")
    parser.add_argument("--runs", type=int, metavar="N", help="inputs for each target instead")
    parser.add_argument("--only", choices=TESTS, help="one target")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="be guided by which code runs, not by how often: at least twice as fast",
    )
    parser.add_argument(
        "--keep",
        choices=[target for target in TESTS if target != "protocol"],
        help="instead, add to fuzz/corpus the inputs with which a target reaches new code",
    )
    parser.add_argument("--faults", action="store_true", help="instead, find faults put in")
    return parser.parse_args(arguments)
