# SPDX-License-Identifier: Apache-2.0
"""A program with interfaces that starts a child in one of the usual ways, for integration/fork/.

forking.py WAY ENDING COUNT    works in an empty folder and prints "undisturbed" at the end

It connects COUNT pairs with each other. The child works with a pair of its own and ends; the
program's own packets go to and fro meanwhile, and afterwards.
"""

import gc
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from libmemif_py import Interface

TIMEOUT = 60.0
PACKETS = 50
Pair = tuple[Interface, Interface]


def connect(path: str) -> Pair:
    master, slave = Interface(path, role="master"), Interface(path)
    for interface in (master, slave):
        interface.wait_connected(TIMEOUT)
    return master, slave


def exchange(pair: Pair) -> None:
    for one, other in (pair, pair[::-1]):
        for number in range(PACKETS):
            one.send(b"%d" % number, TIMEOUT)
        received = [other.recv(TIMEOUT) for _ in range(PACKETS)]
        if received != [b"%d" % number for number in range(PACKETS)]:
            raise RuntimeError(f"wrong packets: {received}")


inherited: list[Pair] = []
left: list[Pair] = []  # to the end of the child


def work(ending: str, ready: int, may_end: int) -> None:
    """The child's part. Its second pair is left to the end of the process."""
    # As of a socket. An interface of the parent must not warn.
    warnings.filterwarnings("ignore", "unclosed <Interface (master|slave) 'child", ResourceWarning)
    pair = connect("child")
    left.append(pair)
    exchange(pair)
    if ending == "closed":
        for interface in (*pair, *(one for pair in inherited for one in pair)):
            with interface:
                pass
    if ending == "collected":
        inherited.clear()
        gc.collect()
    os.write(ready, b"x")
    os.read(may_end, 1)
    left.append(connect("child2"))
    exchange(left[-1])


def by_os_fork(end: Callable[[int], None]) -> Callable[[tuple], Callable[[], int]]:
    def start(arguments: tuple) -> Callable[[], int]:
        child = os.fork()
        if child == 0:
            work(*arguments)
            end(0)
        return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return start


def by_process(way: str) -> Callable[[tuple], Callable[[], int]]:
    def start(arguments: tuple) -> Callable[[], int]:
        process = multiprocessing.get_context(way).Process(target=work_on_copies, args=arguments)
        process.start()

        def join() -> int:
            process.join()
            return process.exitcode

        return join

    return start


def work_on_copies(ending: str, ready: str, may_end: str) -> None:
    """Descriptors are inherited by a fork only, so these are names."""
    work(ending, os.open(ready, os.O_WRONLY), os.open(may_end, os.O_RDONLY))


def by_pool(arguments: tuple) -> Callable[[], int]:
    pool = multiprocessing.get_context("fork").Pool(1)
    result = pool.apply_async(work_on_copies, arguments)

    def join() -> int:
        result.get()
        pool.close()
        pool.join()
        return 0

    return join


WAYS = {
    "os.fork": by_os_fork(sys.exit),
    "os._exit": by_os_fork(os._exit),
    "fork": by_process("fork"),
    "forkserver": by_process("forkserver"),
    "spawn": by_process("spawn"),
    "pool": by_pool,
}
ENDINGS = ("closed", "collected", "left")


def main(way: str, ending: str, count: int) -> None:
    # From 3.12 on: a process with threads was forked.
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    for name in ("ready", "may_end"):
        os.mkfifo(name)
    inherited.extend(connect(f"pair{number}") for number in range(count))
    pairs = list(inherited)
    names: tuple = ("ready", "may_end")
    if way.startswith("os."):
        ready, end = os.pipe(), os.pipe()
        names = (ready[1], end[0])
    join = WAYS[way]((ending, *names))
    from_child = ready[0] if way.startswith("os.") else os.open("ready", os.O_RDONLY)
    to_child = end[1] if way.startswith("os.") else os.open("may_end", os.O_WRONLY)
    os.read(from_child, 1)
    for pair in pairs:
        exchange(pair)
    os.write(to_child, b"x")
    status = join()
    if status:
        raise RuntimeError(f"the child ended with {status}")
    for number, pair in enumerate(pairs):
        exchange(pair)
        if not Path(f"pair{number}").is_socket():
            raise RuntimeError("the socket file is gone")
        for interface in pair:
            interface.close()
    files = {path.name for path in Path().iterdir()} - {"ready", "may_end"}
    # Only a child that ends with os._exit leaves the files of its masters.
    expected = {"child", "child2"} if way == "os._exit" else set()
    if ending == "closed":
        expected.discard("child")
    if files != expected:
        raise RuntimeError(f"files {files}, expected {expected}")
    print("undisturbed")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
