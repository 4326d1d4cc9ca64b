# SPDX-License-Identifier: Apache-2.0
"""What Wireshark uses: capture interfaces, and a dissector for control messages."""
