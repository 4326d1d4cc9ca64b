# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes the documentation; `./bootstrap docs` runs it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "tools"))

project = "libmemif-py"
author = "the authors of libmemif-py"
copyright = "Apache-2.0"
version = re.search(r"version: '([\d.]+)'", (DOCS.parent / "meson.build").read_text())[1]
release = version

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
exclude_patterns = ["tools", "man", "static", "meson.build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
python_maximum_signature_line_length = 80
# Both C APIs have the same names, so neither is "the" one.
c_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"libmemif-py {version}"
html_static_path = ["static"]
html_css_files = ["width.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"
