# SPDX-License-Identifier: Apache-2.0
"""Defines the extension module of the Python package, for cffi-gen-src."""

from pathlib import Path

from cffi import FFI

native = Path(__file__).parents[1]

ffibuilder = FFI()
ffibuilder.cdef(
    (native / "core/core.cdef").read_text() + (native / "python/extension.cdef").read_text()
)
ffibuilder.set_source(
    "libmemif_py._native",
    """
    #include "core/core.h"
    #include "python/extension.h"
    """,
)
