# SPDX-License-Identifier: Apache-2.0
"""Hours of everything at once: `./bootstrap soak [MINUTES]`. Other runs of pytest leave it out.

Six survivors (see support/survivors.py; in both protocol versions and both roles) send back what
peers of theirs ask of them: packets of mixed sizes on several queues, every byte checked, while the
survivors change between interrupts and polling, and peers leave, die and come back. One line a
minute says how it goes. At the end: no packet was wrong, and no program had grown since the first
quarter, or held more descriptors or mappings than at the best moment of the second quarter. A slave
that tries to connect holds some for a moment.
"""

import contextlib
import random
import signal
import time
from pathlib import Path

from support.c_collector import build_directories
from support.programs import OTHER_ROLE, Side
from support.survivors import Survivor, SurvivorLauncher, wait_for_more

CAST = (
    ("v1", "master", 512),
    ("v1", "slave", 256),
    ("v4", "slave", 512),
    ("v4", "master", 256),
    ("python", "master", 512),
    ("python", "slave", 256),
)
INTERFACES = 3
QUEUES = 2
# What Python and malloc may still take, in KiB, after the warm-up.
GROWTH = 1024


def end(program: Side) -> None:
    program.end_input()
    if (status := program.wait()) != 0 or program.errors:
        raise AssertionError(f"status {status}: {program.errors}")


class Act:
    """One survivor and its peers. Interface 0 stays, the others come and go."""

    def __init__(self, folder: Path, build: Path, kind: str, role: str, version: int):
        folder.mkdir()
        self.name = f"{kind} {role} {version}"
        self.launcher = SurvivorLauncher(folder, build)
        self.role, self.kind, self.version = role, kind, version
        self.stack = contextlib.ExitStack()
        self.comings = 0
        self.warm_kib: int | None = None
        self.least_held: tuple[int, int] | None = None

    def start(self) -> None:
        slave_first = self.role == "slave"
        if slave_first:
            self.steady = self.enter_asker(self.launcher.steady_socket, 0)
        options = ("-n", INTERFACES, "-q", QUEUES, "-x", 50)
        self.survivor: Survivor = self.stack.enter_context(
            self.launcher.survivor(self.kind, self.role, self.version, *options)
        )
        if not slave_first:
            self.steady = self.enter_asker(self.launcher.steady_socket, 0)
        self.survivor.wait_for("up", "0")

    def asker(self, socket: str, index: int):
        mode = random.choice(("interrupt", "polling"))  # noqa: S311
        options = ("-q", f"{QUEUES},{QUEUES}", "-p", mode)
        return self.launcher.asker(OTHER_ROLE[self.role], socket, index, self.version, *options)

    def enter_asker(self, socket: str, index: int):
        return self.stack.enter_context(self.asker(socket, index))

    def come_and_go(self) -> None:
        """A peer for a moment, that ends by itself or is killed."""
        index = 1 if self.role == "slave" else random.randrange(1, INTERFACES)  # noqa: S311
        before = self.survivor.echoed()[index]
        with self.asker(self.launcher.socket, index) as peer:
            self.survivor.wait_for("up", str(index))
            wait_for_more(self.survivor, index, before)
            if random.random() < 0.5:  # noqa: S311
                peer.send_signal(signal.SIGKILL)
            else:
                end(peer)
            self.survivor.wait_for("down", str(index))
        self.comings += 1

    def look(self) -> tuple[int, int, tuple[int, int]]:
        """Packets so far, KiB, what is held."""
        return (
            sum(self.survivor.echoed()),
            self.survivor.resident_kib(),
            self.survivor.holdings(),
        )

    def warm_up(self) -> None:
        """The state to compare with at the end; again and again for the least that is held."""
        _, kib, held = self.look()
        self.warm_kib = self.warm_kib or kib
        least = self.least_held or held
        self.least_held = (min(held[0], least[0]), min(held[1], least[1]))

    def judge(self) -> list[str]:
        """What is wrong at the end."""
        wrong = []
        try:
            self.survivor.wait_until_holding(self.least_held)
        except AssertionError as error:
            wrong.append(f"{self.name}: {error}")
        kib = self.survivor.resident_kib()
        if kib > self.warm_kib + GROWTH:
            wrong.append(f"{self.name}: {kib} KiB, {self.warm_kib} when warm")
        end(self.steady)
        end(self.survivor)
        return wrong


def tell(minute: float, acts: list[Act]) -> None:
    looks = [act.look() for act in acts]
    shown = [
        f"{act.name}: {packets / 1e6:.2f} M packets, {act.comings} peers, "
        f"{kib / 1024:.1f} MiB, {held[0]} fds"
        for act, (packets, kib, held) in zip(acts, looks, strict=True)
    ]
    print(f"{minute:5.1f} min |", " | ".join(shown), flush=True)


def soak(acts: list[Act], minutes: float) -> list[str]:
    begin = last = time.monotonic()
    while (now := time.monotonic()) < begin + minutes * 60:
        for act in acts:
            act.come_and_go()
        quarters = (now - begin) / (minutes * 15)
        if quarters > 1 and (quarters < 2 or acts[0].warm_kib is None):
            for act in acts:
                act.warm_up()
        if now >= last + 60:
            last = now
            tell((now - begin) / 60, acts)
    tell((time.monotonic() - begin) / 60, acts)
    return [text for act in acts for text in act.judge()]


def test_nothing_is_wrong_or_grows_however_long_it_runs(tmp_path, pytestconfig):
    build = build_directories(pytestconfig)[0].path
    with contextlib.ExitStack() as stack:
        acts = [Act(tmp_path / str(number), build, *cast) for number, cast in enumerate(CAST)]
        for act in acts:
            stack.enter_context(act.stack)
            act.start()
        wrong = soak(acts, pytestconfig.getoption("soak_minutes"))
    assert not wrong, "\n".join(wrong)
