# SPDX-License-Identifier: Apache-2.0
"""The proofs of the data path by CBMC, and how one is run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Slots of the ring, and the most entries that a program passes to a burst.
SLOTS, COUNT = 2, 3
# A proof that takes longer has failed.
SECONDS = 1800

SENDING = ("reserve", "reserve_rest", "tx", "tx_rest", "take_back")
BURSTS = ("rx", "rx_rest", "rx_interrupt", "give_back", "give_back_rest", *SENDING)
# The entry face gives buffers back without a rest.
ALL = {"packet": BURSTS, "entry": tuple(b for b in BURSTS if b != "give_back_rest")}


@dataclass(frozen=True)
class Proof:
    """One burst function."""

    face: str
    version: int
    role: str
    burst: str
    slots: int = SLOTS

    def __str__(self) -> str:
        """Return its name."""
        return f"{self.face} {self.version} {self.role} {self.burst}"

    def defines(self) -> dict[str, object]:
        """Return what the sources of the proof are compiled with."""
        return {
            "MIF_CORE_CODES": 1,
            "MODEL_VERSION": self.version,
            "MODEL_IS_SLAVE": int(self.role == "slave"),
            "MODEL_IS_RX": int(self.burst not in SENDING),
            "MODEL_SLOTS": self.slots,
            "MODEL_COUNT": COUNT,
            "MODEL_SUFFIX": f"_{self.version}_{self.role}",
        }

    def replaced(self) -> list[str]:
        """Return calls that go to what stands for a function."""
        names = ["burst_hash"]
        if not self.burst.endswith("_rest"):
            names += ["rx_rest", "alloc_rest", "tx_rest"]
            names += ["free_rest"] if self.face == "packet" else []
        return [f"{name}:model_{name}" for name in names]

    def loops(self) -> int:
        """Return how often a loop is followed. Whether that is enough is shown too."""
        return max(COUNT + 1, self.slots) + 1


def every_proof() -> Iterator[Proof]:
    """List them."""
    for face, bursts in ALL.items():
        for version in (512, 256):
            for role in ("master", "slave"):
                for burst in bursts:
                    yield Proof(face, version, role, burst)


# Those that were carried through. Of the others nothing is claimed: they may need more time than
# anybody has spent, or fail.
SHOWN = (
    Proof("packet", 512, "master", "rx"),
    Proof("packet", 512, "slave", "rx"),
    Proof("packet", 256, "master", "rx"),
    Proof("packet", 512, "master", "give_back"),
    Proof("packet", 512, "master", "give_back_rest"),
    Proof("packet", 512, "slave", "give_back"),
    Proof("packet", 512, "master", "reserve"),
    Proof("packet", 512, "master", "reserve_rest"),
    Proof("packet", 512, "slave", "take_back"),
    Proof("packet", 512, "slave", "tx"),
    Proof("packet", 256, "slave", "tx"),
    Proof("entry", 512, "master", "rx"),
    Proof("entry", 512, "slave", "give_back"),
    Proof("entry", 512, "slave", "take_back"),
)

# Of these, for the test command, what takes the least time.
SHORT = (
    Proof("packet", 512, "master", "rx"),
    Proof("packet", 512, "master", "give_back"),
    Proof("packet", 512, "slave", "take_back"),
    Proof("entry", 512, "slave", "take_back"),
)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: failed\n{done.stdout}{done.stderr}")


def _compile(proof: Proof, sources: Path, made: Path) -> Path:
    """Compile a proof with the library's sources in a folder; return the file for CBMC."""
    api = "libmemif1" if proof.face == "packet" else "libmemif4"
    native = sources / "libmemif_py" / "native"
    includes = [HERE / "include", HERE, native, sources / "include" / api, sources / "include"]
    command = ["goto-cc", "-o", str(made / "whole"), str(HERE / f"{proof.face}.c")]
    command += [f"-I{folder}" for folder in includes]
    command += [f"-D{name}={value}" for name, value in proof.defines().items()]
    _run([*command, "--function", f"prove_{proof.burst}"])
    replace = [word for pair in proof.replaced() for word in ("--replace-calls", pair)]
    _run(["goto-instrument", *replace, str(made / "whole"), str(made / "proof")])
    return made / "proof"


def check(proof: Proof, sources: Path = ROOT, *options: str) -> tuple[bool, str]:
    """Return whether CBMC shows everything, and what it says."""
    with tempfile.TemporaryDirectory() as made:
        program = _compile(proof, sources, Path(made))
        command = ["cbmc", str(program), "--pointer-overflow-check", "--slice-formula"]
        command += ["--object-bits", "10", "--unwind", str(proof.loops()), *options]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return False, f"not done after {SECONDS} s\n"
    if done.returncode not in (0, 10):
        raise SystemExit(f"{proof}: cbmc failed\n{done.stdout}{done.stderr}")
    return done.returncode == 0, done.stdout
