# SPDX-License-Identifier: Apache-2.0
"""The command `memif`. Needs an extra: pip install 'libmemif-py[tools]'."""
