# SPDX-License-Identifier: Apache-2.0
"""Interfaces for asyncio."""

from .interface import AsyncInterface, MemifTransport, create_memif_endpoint

__all__ = ["AsyncInterface", "MemifTransport", "create_memif_endpoint"]
