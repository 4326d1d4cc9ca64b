# SPDX-License-Identifier: Apache-2.0
"""Filters of packets, in the language of tcpdump. The system's libpcap compiles and runs them.

libpcap is opened when the first filter is set, so programs without one do not need it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .control.reactor import burst
from .errors import ArgumentError
from .settings import choice

if TYPE_CHECKING:
    from array import array

    from ._burst import Filter

# Debian's name, and that of most other distributions.
_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1")
_PACKAGE = "libpcap0.8"
# What packets begin with, by the mode of the interface: <pcap/dlt.h>.
_LINK_TYPES = {"ethernet": 1, "ip": 12}
_LONGEST = 262_144
_NO_NETMASK = 0xFFFFFFFF


def filter_for(text: str, mode: str, counts: array[int]) -> Filter:
    """The filter for packets of an interface of this mode.

    `counts` has for each queue how many packets did not match. Raises ArgumentError with what
    libpcap says, ImportError without libpcap.
    """
    if not isinstance(text, str):
        raise TypeError(f"filter {text!r}, expected str or None")
    ffi, lib = _libpcap()
    program = _compiled(text, _LINK_TYPES[choice("mode", mode, tuple(_LINK_TYPES))])
    return burst.Filter(int(ffi.cast("uintptr_t", lib.bpf_filter)), program, counts)


def _compiled(text: str, link_type: int) -> bytes:
    ffi, lib = _libpcap()
    if "\0" in text:
        raise ArgumentError(f"filter {text!r} has a zero byte, expected none")
    handle = ffi.gc(lib.pcap_open_dead(link_type, _LONGEST), lib.pcap_close)
    program = ffi.new("struct bpf_program *")
    if lib.pcap_compile(handle, program, text.encode(errors="surrogateescape"), 1, _NO_NETMASK):
        said = ffi.string(lib.pcap_geterr(handle)).decode(errors="replace")
        raise ArgumentError(f"filter {text!r}: {said}")
    try:
        size = program.bf_len * ffi.sizeof("struct bpf_insn")
        return bytes(ffi.buffer(program.bf_insns, size))
    finally:
        lib.pcap_freecode(program)


@functools.cache
def _libpcap() -> tuple[Any, Any]:
    """Its cffi module, and the library."""
    from ._pcap import ffi

    for name in _LIBRARIES:
        try:
            return ffi, ffi.dlopen(name)
        except OSError as error:
            failed = error
    raise ImportError(
        f"filters need libpcap, on Debian and Ubuntu: apt-get install {_PACKAGE} ({failed})",
        name="libpcap",
    )
