# SPDX-License-Identifier: Apache-2.0
"""The embedded modules of the C libraries, for cffi-gen-src."""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).parent

_PRELUDE = """
#include "{api}.h"
#include "connection.h"
#include "debug.h"
#include "embed.h"
#include "errors.h"
#include "hub.h"
#include "untrusted.h"

int mif_embed_start_cffi(void)
{{
    return cffi_start_python();
}}
"""

# Nothing may escape from here: cffi would print a traceback and its search path.
_INIT = """
from {module} import ffi, lib
try:
    from libmemif_py import {abi}
    {abi}.install(ffi, lib)
    lib.mif_embed_ready()
except BaseException as error:
    lib.mif_embed_failed(("%s: %s" % (type(error).__name__, error)).encode())
"""


def module(generation: str) -> FFI:
    """The module behind the C interface of a generation, "1" or "4"."""
    api, name = f"api{generation}", f"_libmemif{generation}"
    ffi = FFI()
    for part in ("core.cdef", "embed.cdef", f"{api}.cdef"):
        ffi.cdef((_HERE / part).read_text())
    ffi.embedding_api("")
    ffi.set_source(name, _PRELUDE.format(api=api))
    ffi.embedding_init_code(_INIT.format(module=name, abi=f"abi{generation}"))
    return ffi
