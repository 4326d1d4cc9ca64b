# SPDX-License-Identifier: Apache-2.0
"""What the tests share: builds, peers, and programs that are started. No tests."""
