# SPDX-License-Identifier: Apache-2.0
"""What Wireshark uses."""
