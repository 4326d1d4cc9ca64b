# SPDX-License-Identifier: Apache-2.0
"""Defines the embedded module of the 1.0 library, for cffi-gen-src."""

from embedding import module

ffibuilder = module("v1")
