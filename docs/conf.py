# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx configuration: ``make docs`` builds docs/_build/html."""

import os
import warnings

from confident_clf import __version__

project = "confident_clf"
author = "The confident_clf developers"
copyright = author
release = version = __version__
extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "confident_clf"
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_css_files = ["style.css"]
html_show_sourcelink = False
# Pages of their own have no section to navigate in.
html_sidebars = {name: [] for name in ["choose", "pitfalls", "coming_from", "results"]}
html_theme_options = {
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
}

autosummary_generate = True
# The docstrings say the types in words.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"  # short enough for the contents of a page
numpydoc_show_class_members = False
# Methods that scikit-learn's base classes bring refer to its own glossary.
suppress_warnings = ["ref.ref", "ref.term", "config.cache"]

# The prompts and the output of an example are not part of what is copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"^(?!plot_)",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
}
# An example may warn of what it shows.
warnings.filterwarnings("ignore", module="sphinx_gallery")

# Links into the docs of other libraries take the network: `make docs ONLINE=1`.
if os.environ.get("ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }
