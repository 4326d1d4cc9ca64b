# SPDX-License-Identifier: Apache-2.0
"""`competing_master.py PATH`: for each line of stdin, a file, waits for that file and is then a
master at the path at once. Says "listens" or the code of the error; the next line ends it.
"""

import os
import sys

from libmemif_py import Interface, MemifError


def main() -> None:
    path = sys.argv[1]
    print("ready", flush=True)
    for line in sys.stdin:
        while not os.path.exists(line.strip()):  # not to lose the race by a sleep
            pass
        try:
            # Making the file takes longer with a mode.
            with Interface(path, role="master", socket_mode=0o600):
                print("listens", flush=True)
                sys.stdin.readline()
        except MemifError as error:
            print(error.code, flush=True)
            sys.stdin.readline()
        print("over", flush=True)


main()
