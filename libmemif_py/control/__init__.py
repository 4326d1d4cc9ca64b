# SPDX-License-Identifier: Apache-2.0
"""The control plane: messages, sockets, links, and the interfaces that they belong to."""
