# SPDX-License-Identifier: Apache-2.0
"""Models of the protocols between threads and processes, for spin: see README.md."""
