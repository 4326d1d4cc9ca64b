# SPDX-License-Identifier: Apache-2.0
# Made by the build from _install.py.in.
VERSION: str
INCLUDEDIR: str
LIBDIR: str
LINK_V1: str
WHEEL: bool
