# SPDX-License-Identifier: BSD-3-Clause
"""Who may import whom, and what importing the package must not load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import confident_clf

ROOT = Path(confident_clf.__file__).parent

# Each part and what it may import of the others; nobody imports the package root.
MAY_IMPORT = {
    "_version": set(),
    "utils": {"_version"},
    "losses": set(),
    "modules": set(),
    "scores": {"utils"},
    "metrics": {"_detection", "utils"},
    "sources": {"losses", "modules", "utils"},
    "_training_state": {"utils"},
    "_training": {"utils"},
    "_predicting_net": {"modules", "utils"},
    "_net": {"_predicting_net", "_training_state", "losses", "modules", "utils"},
    "_samples": {"utils"},
    "_network_view": {"modules", "utils"},
    "_prediction": {"_network_view", "scores", "utils"},
    "_classifier": {
        "_net",
        "_prediction",
        "_samples",
        "_training",
        "modules",
        "scores",
        "sources",
        "utils",
    },
    "_detection": {"scores", "utils"},
    "model_selection": {"utils"},
    "_betas": {"utils"},
    "_search": {
        "_betas",
        "_classifier",
        "_detection",
        "metrics",
        "model_selection",
        "scores",
        "utils",
    },
    "_files": {
        "_classifier",
        "_detection",
        "_search",
        "modules",
        "scores",
        "sources",
        "utils",
    },
    "_persistence": {"_files", "_version"},
    "__init__": {
        "_classifier",
        "_detection",
        "_persistence",
        "_search",
        "_version",
        "metrics",
        "utils",
    },
}


def imports_of(path):
    """Return the names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_arrows(path):
    """Check every import of a file against the table above."""
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports_of(path):
        package, *rest = name.split(".")
        if package == "confident_clf":
            assert rest, f"{path} imports the package root"
            assert rest[0] in MAY_IMPORT[part] | {part}


def test_private_scikit_learn_has_one_home():
    """Check that private names of scikit-learn are imported in one file only."""
    for path in ROOT.rglob("*.py"):
        if path != ROOT / "utils" / "_sklearn.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and "sklearn" in node.module:
                    names = [node.module, *(alias.name for alias in node.names)]
                    private = any("._" in n or n.startswith("_") for n in names)
                    assert not private or "confident_clf" in node.module, path


def test_import_is_light():
    """Check that the package loads neither plots nor data sets nor clusters."""
    heavy = ["matplotlib", "torchvision", "dask", "accelerate"]
    code = (
        "import sys, confident_clf; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


def test_detector_and_metrics_do_not_need_torch():
    """Check that no file of the torch-free half imports torch or skorch."""
    for part in ("_betas.py", "_detection", "metrics", "model_selection", "scores"):
        path = ROOT / part
        for file in [path] if path.is_file() else path.rglob("*.py"):
            roots = {name.split(".")[0] for name in imports_of(file)}
            assert not roots & {"torch", "skorch"}, file


def test_guarantees_name_tests_that_there_are():
    """Check the paths in the page of guarantees."""
    repository = Path(__file__).parents[1]
    page = (repository / "docs" / "guarantees.rst").read_text()
    named = set(re.findall(r"``(tests/[^`]*)``", page))
    assert len(named) > 15
    assert all((repository / path).exists() for path in named)
