# SPDX-License-Identifier: Apache-2.0
"""The embedded modules of the C libraries, for cffi-gen-src."""

from pathlib import Path

from cffi import FFI

_NATIVE = Path(__file__).parents[1]

_PRELUDE = """
#include "capi/{api}/api.h"
#include "capi/ext.h"
#include "core/core.h"
#include "embed/embed.h"

int mif_embed_start_cffi(void)
{{
    return cffi_start_python();
}}
"""

# No exception may leave this code: cffi would print a traceback and its search path.
_INIT = """
from {module} import ffi, lib
try:
    from libmemif_py.capi import {api}
    {api}.install(ffi, lib)
    lib.mif_embed_ready()
except BaseException as error:
    lib.mif_embed_failed(("%s: %s" % (type(error).__name__, error)).encode())
"""


def module(api: str) -> FFI:
    """The module behind a C API, "v1" or "v4"."""
    name = f"_libmemif_{api}"
    ffi = FFI()
    for part in ("core/core.cdef", "embed/embed.cdef", "capi/ext.cdef", f"capi/{api}/api.cdef"):
        ffi.cdef((_NATIVE / part).read_text())
    ffi.embedding_api("")
    ffi.set_source(name, _PRELUDE.format(api=api))
    ffi.embedding_init_code(_INIT.format(module=name, api=api))
    return ffi
