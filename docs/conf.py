# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx configuration: ``make docs`` builds docs/_build/html."""

from confident_clf import __version__

project = "confident_clf"
author = "The confident_clf developers"
release = __version__
extensions = ["numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "alabaster"
# Wide enough for lines of code, and for the name on one line.
html_theme_options = {
    "page_width": "1140px",
    "sidebar_width": "250px",
    "font_size": "16px",
}
autosummary_generate = True
numpydoc_show_class_members = False
# Methods that scikit-learn's base classes bring refer to its own glossary.
suppress_warnings = ["ref.ref", "ref.term"]
