# SPDX-License-Identifier: Apache-2.0
"""The former name of libmemif_py.adapters.scapy."""

from .adapters.scapy import MemifSocket

__all__ = ["MemifSocket"]
