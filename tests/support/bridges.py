# SPDX-License-Identifier: Apache-2.0
"""Programs of the 4.0 API that connect interfaces of ours."""

from support.programs import Program

CONNECTED, DISCONNECTED = "memif connected!", "memif disconnected!"
RING_SIZE = 1024


def wait_until_bridged(bridge: Program, queues: int) -> None:
    """Both its interfaces are connected, in any order."""
    lines = {bridge.line(), bridge.line()}
    assert lines == {f"{side} connected: {queues} queues in, {queues} out" for side in "ab"}
