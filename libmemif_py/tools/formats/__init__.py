# SPDX-License-Identifier: Apache-2.0
"""Packets and captures, as bytes."""
