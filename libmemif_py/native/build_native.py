# SPDX-License-Identifier: Apache-2.0
"""Defines the extension module of the Python package, for cffi-gen-src."""

from pathlib import Path

from cffi import FFI

here = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef((here / "core.cdef").read_text() + (here / "native.cdef").read_text())
ffibuilder.set_source(
    "libmemif_py._native",
    """
    #include "connection.h"
    #include "debug.h"
    #include "errors.h"
    #include "hub.h"
    #include "native.h"
    #include "packet.h"
    #include "untrusted.h"
    """,
)
