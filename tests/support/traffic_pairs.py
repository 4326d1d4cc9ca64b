# SPDX-License-Identifier: Apache-2.0
"""Two traffic programs that send to each other, and check what comes."""

import contextlib
from collections.abc import Iterator

from support.programs import Launcher, Side


class Pairs(Launcher):
    """Two traffic programs on one socket."""

    @contextlib.contextmanager
    def pair(
        self,
        languages: tuple[str, str],
        *arguments: str | int,
        modes: tuple[str, str] = ("interrupt", "interrupt"),
        version: int | None = None,
    ) -> Iterator[tuple[Side, Side]]:
        """Start a master, and a slave as soon as the master listens."""
        sides = zip(("master", "slave"), languages, modes, strict=True)
        with contextlib.ExitStack() as stack:
            yield tuple(
                stack.enter_context(
                    self.traffic(language, role, "-p", mode, *arguments, version=version)
                )
                for role, language, mode in sides
            )

    def exchange(
        self,
        languages: tuple[str, str],
        packets: int,
        *arguments: str | int,
        rings: tuple[int, int] = (1, 1),
        **rest,
    ) -> None:
        """So many packets on every ring, in both directions at once."""
        s2m, m2s = rings
        arguments = ("-n", packets, "-N", packets, "-q", f"{s2m},{m2s}", *arguments)
        with self.pair(languages, *arguments, **rest) as (master, slave):
            of_master, of_slave = master.result(), slave.result()
            master.end()
            slave.end()
        assert of_slave["sent"] == of_master["received"] == [packets] * s2m
        assert of_master["sent"] == of_slave["received"] == [packets] * m2s
        assert of_slave["bytes_sent"] == of_master["bytes_received"]
        assert of_master["bytes_sent"] == of_slave["bytes_received"]
