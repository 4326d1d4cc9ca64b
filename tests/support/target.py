# SPDX-License-Identifier: Apache-2.0
"""c_tests/peers/victim.h in Python, a program."""

import sys
import threading

from libmemif_py import Interface, MemifError

SIZES = {"s2m_rings": 2, "m2s_rings": 2, "ring_size": 16, "buffer_size": 2048, "name": "target"}


class Echo(Interface):
    """An interface that sends back what comes in on queue 0."""

    def __init__(self, path: str, role: str, id: int = 0, secret: str | None = None):
        self.ending = False
        super().__init__(path, role=role, id=id, secret=secret, app_name="target", **SIZES)
        self.thread = threading.Thread(target=self.send_back)
        self.thread.start()

    def send_back(self) -> None:
        while not self.ending:
            try:
                packets = self.recv_burst(8)
                self.send_burst(packets, 0)
            except MemifError:
                pass  # the link went down, and the packets with it; the next call waits for another

    def close(self) -> None:
        self.ending = True
        super().close()
        self.thread.join()


def main(folder: str) -> None:
    masters = [
        Echo(f"{folder}/good", "master"),
        Echo(f"{folder}/master", "master"),
        Echo(f"{folder}/master", "master", 1, "secret"),
    ]
    slave: list[Echo] = []
    print("ready", flush=True)
    for order in sys.stdin:
        while slave:
            slave.pop().close()
        if order == "again\n":
            slave.append(Echo(f"{folder}/slave", "slave"))
        print("ok", flush=True)
    for interface in masters + slave:
        interface.close()


if __name__ == "__main__":
    main(sys.argv[1])
