# SPDX-License-Identifier: Apache-2.0
"""Mutants of the data path in C."""
