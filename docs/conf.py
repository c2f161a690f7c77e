"""How Sphinx builds the documentation."""
# ruff: noqa: INP001 - Sphinx reads this file by its path; it is in no package.

project = "espm"
copyright = "the authors of espm"  # noqa: A001 - Sphinx reads this name
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "espm"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
