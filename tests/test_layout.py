# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the layout: who may import whom, and what an import must not load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import confident_clf

ROOT = Path(confident_clf.__file__).parent
REPOSITORY = Path(__file__).parents[1]
FILES = sorted(ROOT.rglob("*.py"))

# Each part, and the other parts it may import. Nobody imports the package root. The
# table in docs/design.rst is the same.
MAY_IMPORT = {
    "__init__": {
        "_classifier",
        "_detection",
        "_persistence",
        "_search",
        "_training",
        "_version",
        "metrics",
    },
    "_betas": {"utils"},
    "_classifier": {
        "_constraints",
        "_networks",
        "_plan",
        "_samples",
        "_trained",
        "_training",
        "_validation",
        "scores",
        "sources",
        "utils",
    },
    "_constraints": {"_training", "scores", "sources", "utils"},
    "_detection": {"scores", "utils"},
    "_export": {
        "_classifier",
        "_detection",
        "_networks",
        "_version",
        "scores",
        "utils",
    },
    "_files": {
        "_classifier",
        "_detection",
        "_networks",
        "_samples",
        "_search",
        "_training",
        "modules",
        "scores",
        "sources",
        "utils",
    },
    "_networks": {"modules", "utils"},
    "_persistence": {"_files", "_version", "utils"},
    "_plan": {"_samples", "_training", "_validation", "scores", "utils"},
    "_samples": {"utils"},
    "_search": {
        "_betas",
        "_classifier",
        "_detection",
        "_training",
        "metrics",
        "model_selection",
        "scores",
        "utils",
    },
    "_trained": {
        "_networks",
        "_samples",
        "_training",
        "modules",
        "scores",
        "sources",
        "utils",
    },
    "_training": {"_networks", "_version", "losses", "modules", "scores", "utils"},
    "_validation": {"_samples", "utils"},
    "_version": set(),
    "datasets": set(),
    "distributed": {"_training"},
    "export": {"_export", "_files", "utils"},
    "losses": set(),
    "metrics": {"_detection", "utils"},
    "model_selection": {"utils"},
    "modules": set(),
    "plotting": {"_detection", "metrics", "utils"},
    "recipes": {"modules"},
    "scores": {"utils"},
    "sources": {"_networks", "_training", "losses", "utils"},
    "utils": set(),
}
# These parts work on arrays, so a user without a network never needs torch.
TORCH_FREE = ("_betas.py", "_detection", "metrics", "model_selection", "scores")
# The one home of names that a library does not promise to keep.
HOMES = {
    "sklearn": ROOT / "utils" / "_sklearn.py",
    "torch": ROOT / "utils" / "_torch.py",
}


def part_of(path):
    """Return the part that a file belongs to: a top-level folder or file."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path):
    """Return the names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def imported_parts(path):
    """Return the other parts of the package that a file imports."""
    names = (name.split(".") for name in imports_of(path))
    ours = [rest for package, *rest in names if package == "confident_clf"]
    assert all(ours), f"{path} imports the package root"
    return {rest[0] for rest in ours} - {part_of(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path):
    """Check every import of a file against the table."""
    assert imported_parts(path) <= MAY_IMPORT[part_of(path)]


def test_every_arrow_is_needed():
    """Check that the table allows no import that nobody makes."""
    made = {part: set() for part in MAY_IMPORT}
    for path in FILES:
        made[part_of(path)] |= imported_parts(path)
    assert made == MAY_IMPORT


def test_there_is_no_circle():
    """Check that the parts can be put in an order where all arrows point down."""
    left = dict(MAY_IMPORT)
    while left:
        leaves = [part for part, needs in left.items() if not needs & left.keys()]
        assert leaves, f"a circle among {sorted(left)}"
        for part in leaves:
            del left[part]


def test_the_table_in_the_docs():
    """Check the rows of docs/design.rst against the table here."""
    page = (REPOSITORY / "docs" / "design.rst").read_text()
    rows = dict(re.findall(r'^ +"(\w+)", "([\w, ]*)"$', page, re.MULTILINE))
    rows = {part: set(re.findall(r"\w+", names)) for part, names in rows.items()}
    rows.pop("part", None)
    assert rows == MAY_IMPORT


def private_names(path, library):
    """Return the private names of a library that a file imports or looks up."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == library:
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (name for name in names if name.startswith("_"))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id == library:
                yield node.attr


@pytest.mark.parametrize("library", HOMES)
def test_private_names_have_one_home(library):
    """Check that private names of a library are used in one file only."""
    users = {path for path in FILES if any(private_names(path, library))} - {
        path for path in FILES if set(private_names(path, library)) <= {"__version__"}
    }
    assert users == {HOMES[library]}


def test_import_is_light():
    """Check that the package loads neither plots nor data sets nor clusters."""
    heavy = ["matplotlib", "torchvision", "dask", "accelerate", "onnx"]
    code = (
        "import sys, confident_clf, confident_clf.datasets, confident_clf.plotting; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


def test_detector_and_metrics_do_not_need_torch():
    """Check that no file of the torch-free parts imports torch or skorch."""
    for part in TORCH_FREE:
        path = ROOT / part
        for file in [path] if path.is_file() else path.rglob("*.py"):
            roots = {name.split(".")[0] for name in imports_of(file)}
            assert not roots & {"torch", "skorch"}, file


def test_names_of_files_are_unique():
    """Check that a file's name says which file is meant."""
    names = [path.name for path in FILES if path.name != "__init__.py"]
    assert len(names) == len(set(names))


def code_lines(path):
    """Return how many lines of a file are code, not docstrings, comments or blank."""
    text = path.read_text()
    prose = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and i not in prose
        for i, line in enumerate(text.splitlines(), 1)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short(path):
    """Check that a file has at most 350 lines of code."""
    assert code_lines(path) <= 350


def test_guarantees_name_tests_that_there_are():
    """Check the paths in the page of guarantees."""
    page = (REPOSITORY / "docs" / "guarantees.rst").read_text()
    named = set(re.findall(r"``(tests/[^`]*)``", page))
    assert len(named) > 15
    assert all((REPOSITORY / path).exists() for path in named)
