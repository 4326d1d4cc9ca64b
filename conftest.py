# SPDX-License-Identifier: Apache-2.0
"""What all tests share; pytest reads this file first."""

pytest_plugins = ["pytester", "c_collector"]
