# SPDX-License-Identifier: Apache-2.0
"""Defines the embedded module of the 4.0 library, for cffi-gen-src."""

from embedding import module

ffibuilder = module("v4")
