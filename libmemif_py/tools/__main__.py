# SPDX-License-Identifier: Apache-2.0
"""`python -m libmemif_py.tools`: the command `memif` without its script."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
