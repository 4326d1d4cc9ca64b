# SPDX-License-Identifier: Apache-2.0
"""The former name of libmemif_py.adapters.metrics."""

from .adapters.metrics import InterfaceCollector

__all__ = ["InterfaceCollector"]
