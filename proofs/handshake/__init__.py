# SPDX-License-Identifier: Apache-2.0
"""The handshake machines, compared with the protocol in every state that they can reach."""
