# SPDX-License-Identifier: Apache-2.0
"""Memory safety of the data path, by bounded model checking."""
