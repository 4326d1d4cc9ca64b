# SPDX-License-Identifier: Apache-2.0
"""Sends back whatever comes, a program: c_tests/peers/echo.c in Python, same options."""

import argparse
import os
import random
import select
import sys
import threading

from libmemif_py import Interface, MemifError

BURST = 32


def tell(line: str) -> None:
    """In one piece, whichever threads do the same."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Echo:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.is_ready = threading.Event()
        self.echoed = [0] * options.interfaces
        self.interfaces = [self.open(id_) for id_ in range(options.interfaces)]

    def open(self, id_: int) -> Interface:
        options = self.options
        return Interface(
            options.socket if id_ else options.steady_socket,
            role=options.role,
            id=id_,
            s2m_rings=options.queues,
            m2s_rings=options.queues,
            version=int(os.environ.get("LIBMEMIF_PROTOCOL", "0")) or None,
            on_connect=lambda _: self.tell_change(f"up {id_}"),
            on_disconnect=lambda *_: self.tell_change(f"down {id_}"),
        )

    def tell_change(self, text: str) -> None:
        """On the library's thread; not before the program is ready."""
        self.is_ready.wait()
        tell(text)

    def serve(self, id_: int, queue: int) -> None:
        interface = self.interfaces[id_]
        switches = self.options.switch_every and random.random() < 1 / self.options.switch_every  # noqa: S311
        try:
            if switches:
                interface.set_rx_mode("polling", queue=queue)
            packets = interface.recv_burst(BURST, 0, queue=queue)
            self.echoed[id_] += interface.send_burst(packets, 0, queue=queue)
        except MemifError:
            pass  # nothing waits, or the link is down
        finally:
            if switches:
                interface.set_rx_mode("interrupt", queue=queue)

    def run(self) -> None:
        """Until stdin ends."""
        places = {sys.stdin.fileno(): None}
        for id_, interface in enumerate(self.interfaces):
            for queue in range(self.options.queues):
                places[interface.fileno(queue)] = (id_, queue)
        events = select.epoll()
        for fd in places:
            events.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in events.poll():
                if places[fd] is not None:
                    self.serve(*places[fd])
                elif not sys.stdin.readline():
                    return
                else:
                    tell(f"echoed {' '.join(map(str, self.echoed))}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", dest="socket", required=True)
    parser.add_argument("-S", dest="steady_socket", required=True)
    parser.add_argument("-r", dest="role", choices=("master", "slave"), required=True)
    parser.add_argument("-n", dest="interfaces", type=int, default=2)
    parser.add_argument("-q", dest="queues", type=int, default=1)
    parser.add_argument("-x", dest="switch_every", type=int, default=0)
    echo = Echo(parser.parse_args())
    tell("ready")
    echo.is_ready.set()
    echo.run()
    for interface in echo.interfaces:
        interface.close()


if __name__ == "__main__":
    main()
