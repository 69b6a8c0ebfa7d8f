"""How Sphinx builds these pages. Nothing is fetched, neither to build nor to read them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from bids_spheres import __version__

project = "bids_spheres"
author = "The bids_spheres developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated",
    "mathml",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes alone; quotation marks stay as they are typed

default_role = "py:obj"
autodoc_typehints = "none"  # docstrings have them, with shapes and units
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False

# Every reference to a name of ours must lead somewhere. Types in docstrings are prose, such as
# "(T, S) array, mm", and a docstring also names methods and files.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!bids_spheres\.).*")]

html_theme = "furo"
html_title = f"bids_spheres {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
html_math_renderer = "mathml"
