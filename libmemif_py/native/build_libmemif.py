# SPDX-License-Identifier: Apache-2.0
"""Defines the embedded module of libmemif.so, for cffi-gen-src."""

from pathlib import Path

from cffi import FFI

here = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef((here / "core.cdef").read_text() + (here / "api1.cdef").read_text())
ffibuilder.embedding_api("")
ffibuilder.set_source(
    "_libmemif1",
    """
    #include "api1.h"
    #include "connection.h"
    #include "debug.h"
    #include "embed.h"
    #include "errors.h"
    #include "hub.h"

    int mif_embed_start_cffi(void)
    {
        return cffi_start_python();
    }
    """,
)
# Nothing may escape from here: cffi would print a traceback and its search path.
ffibuilder.embedding_init_code(
    """
    from _libmemif1 import ffi, lib
    try:
        from libmemif_py import abi1
        abi1.install(ffi, lib)
        lib.mif_embed_ready()
    except BaseException as error:
        lib.mif_embed_failed(("%s: %s" % (type(error).__name__, error)).encode())
    """
)
