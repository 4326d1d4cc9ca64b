# SPDX-License-Identifier: Apache-2.0
"""The control plane: messages, sockets, links, and the interfaces that they belong to.

The modules lie in layers. A module imports from layers below its own, and within a layer only from
those before it; imports for type checkers count. What a module needs of one above it, it describes
as a protocol of its own. Lowest layer first:

    wire
    steps system lock trust native
    actions offer handshake relay regions socket_path peers timer channel sockets
    shown
    endpoint
    memory link
    listener
    hub
    log reactor

`reactor` runs the control plane for Python programs, `log` tells their logging, and `relay` is for
the command `memif relay`. A C program never imports them.
"""
