# SPDX-License-Identifier: Apache-2.0
"""The proofs of the data path by CBMC, and how one is run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Slots of the ring, and the most entries that a program passes to a burst.
SLOTS, COUNT = 2, 3
# Version 256 keeps one slot empty, and packets of several slots have at least two.
SLOTS_256 = 4
# In these the loops over the entries of a packet are nested: fewer entries.
COUNT_NESTED, NESTED = 2, (("entry", "fill_checked"),)
# These take CaDiCaL less time than MiniSat.
CADICAL = ("packet 512 master fill_checked", "entry 512 slave fill_checked")
# With rings of 4 slots these were carried through with CaDiCaL only.
CADICAL_256 = ("take_run", "give_back_rest", "reserve_run", "fill_run", "fill_next")
# The formula of all queues is too large for these: they have one for each case of state.h.
SPLIT_256 = ("measure", "reserve_other", "fill_checked", "take_chain", "take_packet")
SPLIT = ("entry 512 slave take_packet",)
# A proof that takes longer has failed.
SECONDS = 1800

SENDING = (
    *("reserve", "reserve_rest", "reserve_run", "reserve_other"),
    *("measure", "claim_slot", "never_fits", "unreserve_refused"),
    *("tx", "tx_rest", "fill_run", "fill_other", "fill_next", "fill_checked", "take_back"),
)
RECEIVING = (
    *("rx", "rx_rest", "rx_interrupt", "take_run", "take_other"),
    *("give_back", "give_back_answering"),
)
# What a sender does that waits for room.
WAITING = ("look", "ask", "withdraw", "wait", "nap_for", "watch", "thread", "index")
# A slow part in one piece, which shows that its steps are right together.
WHOLE = ("packet", 512, "master", "reserve_whole")
# What the faces have of their own.
ALL = {
    "packet": (*RECEIVING, "take_chain", "give_back_rest", *SENDING),
    "entry": (*RECEIVING, "take_packet", *SENDING),
    "room": ("asked", "answer"),
    "sender": WAITING,
}
# Of one version, role and face: what else entry.c does with two queues.
EXCHANGE = ("enqueue", "enqueue_one", "requeue")
EXCHANGE_CALLS = ("mif_direction_of", "mif_enter_queue", "mif_enter", "mif_lookup")
# Of no version, role or face.
OF_NONE = {
    "bounce": ("take", "give_back", "free_all"),
    "arena": ("enter", "enter_queue", "lookup", "owner"),
}
# The functions that a stub stands for, each of which has a proof of its own.
STEPS: dict[str, tuple[str, ...]] = {
    "rx_rest": ("take_run", "mif_take_other"),
    "reserve_rest": ("reserve_run", "mif_reserve_other", "mif_unreserve_refused"),
    "tx_rest": ("fill_run", "mif_fill_other"),
    "fill_other": ("fill_next", "fill_checked"),
    "reserve_other": ("mif_chain_measure",),
    "measure": ("mif_claim_slot", "never_fits"),
    "enqueue": ("enqueue_one",),
    "wait": ("look", "ask", "withdraw", "sleep_until_told", "now", "nap_for"),
}
STEPS_OF_FACE = {
    ("packet", "take_other"): ("take_chain",),
    ("entry", "take_other"): ("take_packet",),
}
FACES = ("packet", "entry")
ROLES = ("master", "slave")
# In these a stub stands for the slow part, where the proof ends.
FAST = ("rx", "give_back", "reserve", "tx", "take_back")


@dataclass(frozen=True)
class Proof:
    """One burst function."""

    face: str
    version: int
    role: str
    burst: str
    slots: int = 0  # of the ring; 0: as many as the version needs
    case: int | None = None  # of the queue; None: all of them

    def __str__(self) -> str:
        """Return its name."""
        if self.face in OF_NONE:
            return f"{self.face} {self.burst}"
        return f"{self.face} {self.version} {self.role} {self.burst}"

    def ring(self) -> int:
        """Return the slots of its ring."""
        fast = self.face in FACES and self.burst in FAST
        return self.slots or (SLOTS_256 if self.version == 256 and not fast else SLOTS)

    def count(self) -> int:
        """Return the most entries that a program passes."""
        return COUNT_NESTED if (self.face, self.burst) in NESTED else COUNT

    def defines(self) -> dict[str, object]:
        """Return what the sources of the proof are compiled with."""
        case: dict[str, object] = {}
        if self.case is not None:
            case = {"MODEL_CASE": self.case, "MODEL_CASES": self.cases()}
        return case | {
            "MIF_CORE_CODES": 1,
            "MODEL_VERSION": self.version,
            "MODEL_IS_SLAVE": int(self.role == "slave"),
            "MODEL_IS_RX": int(self.burst not in (*SENDING, WHOLE[-1], *EXCHANGE, *WAITING)),
            "MODEL_SLOTS": self.ring(),
            "MODEL_COUNT": self.count(),
            "MODEL_SUFFIX": f"_{self.version}_{self.role}",
        }

    def cases(self) -> int:
        """Return how many there are: by slot, and by how many slots are held, from 0 on."""
        capacity = self.ring() - (self.version == 256)
        return self.ring() * (capacity + 1)

    def parts(self) -> list[Proof]:
        """Return the proofs of its cases, or itself in one piece."""
        of_256 = self.version == 256 and self.burst in SPLIT_256
        if of_256 or str(self) in SPLIT:
            return [replace(self, case=case) for case in range(self.cases())]
        return [self]

    def steps(self) -> tuple[str, ...]:
        """Return the functions that are proved on their own."""
        return STEPS_OF_FACE.get((self.face, self.burst), STEPS.get(self.burst, ()))

    def replaced(self) -> list[str]:
        """Return calls that go to what stands for a function."""
        if self.face in ("room", "sender"):
            names = ["mif_direction_of", *(("mif_enter",) if self.face == "sender" else ())]
            names += self.steps()
            return [f"{name}:model_{name.removeprefix('mif_')}" for name in names]
        if self.face in OF_NONE:
            return []
        names = ["burst_hash", *self.steps()]
        if self.face == "exchange":
            names += EXCHANGE_CALLS
        if self.burst == "give_back_answering":
            names += ["mif_enter"]
        if self.burst in FAST:
            names += ["rx_rest", "alloc_rest", "tx_rest"]
            names += ["free_rest"] if self.face == "packet" else []
        return [f"{name}:model_{name.removeprefix('mif_')}" for name in names]

    def solver(self) -> list[str]:
        """Return the options that name it."""
        of_256 = self.version == 256 and self.burst in CADICAL_256
        return ["--sat-solver", "cadical"] if of_256 or str(self) in CADICAL else []

    def loops(self) -> int:
        """Return how often a loop is followed. Whether that is enough is shown too."""
        return max(self.count() + 1, self.ring()) + 1


def every_proof() -> Iterator[Proof]:
    """List them."""
    for face, bursts in ALL.items():
        for version in (512, 256):
            for role in ROLES:
                for burst in bursts:
                    yield Proof(face, version, role, burst)
    yield Proof(*WHOLE)
    for burst in EXCHANGE:
        yield Proof("exchange", 512, "slave", burst)
    for face, functions in OF_NONE.items():
        for function in functions:
            yield Proof(face, 512, "master", function)


# Of these nothing is claimed: nobody has seen all of their cases through.
NOT_SHOWN = (
    *(f"{face} 256 {role} fill_checked" for face in FACES for role in ROLES),
    *(f"packet 256 {role} take_chain" for role in ROLES),
)
SHOWN = tuple(proof for proof in every_proof() if str(proof) not in NOT_SHOWN)

# Of these, for the test command, what takes the least time.
SHORT = (
    Proof("packet", 512, "master", "rx"),
    Proof("packet", 512, "master", "give_back"),
    Proof("packet", 512, "slave", "take_back"),
    Proof("entry", 512, "slave", "take_back"),
    Proof("room", 512, "master", "answer"),
    Proof("sender", 512, "master", "wait"),
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
    if replace:
        _run(["goto-instrument", *replace, str(made / "whole"), str(made / "proof")])
    return made / ("proof" if replace else "whole")


def check(proof: Proof, sources: Path = ROOT, *options: str) -> tuple[bool, str]:
    """Return whether CBMC shows everything, and what it says. The first case that fails ends it."""
    said = ""
    for part in proof.parts():
        good, said = _check_part(part, sources, *options)
        if not good:
            return False, said if part is proof else f"case {part.case}:\n{said}"
    return True, said


def _check_part(proof: Proof, sources: Path, *options: str) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as made:
        program = _compile(proof, sources, Path(made))
        command = ["cbmc", str(program), "--pointer-overflow-check", "--slice-formula"]
        command += ["--object-bits", "10", "--unwind", str(proof.loops()), *options]
        command += proof.solver()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return False, f"not done after {SECONDS} s\n"
    if done.returncode not in (0, 10):
        raise SystemExit(f"{proof}: cbmc failed\n{done.stdout}{done.stderr}")
    return done.returncode == 0, done.stdout
