# SPDX-License-Identifier: Apache-2.0
"""Adapters to optional packages, one module for each."""
