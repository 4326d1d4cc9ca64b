# SPDX-License-Identifier: Apache-2.0
"""The command `memif`. It needs click and rich."""
