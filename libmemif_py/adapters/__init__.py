# SPDX-License-Identifier: Apache-2.0
"""Adapters to other packages, which are optional: one module for each."""
