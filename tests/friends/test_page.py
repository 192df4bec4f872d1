# SPDX-License-Identifier: BSD-3-Clause
"""The page of tools that work, and the tests that it names."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "friends.rst").read_text()
ROWS = re.findall(
    r'^   "(.+?)", "(.+?)", "(.*)", "``(.+)::(.+)``"$', PAGE, re.MULTILINE
)


def names_in(path):
    """Return the names of the tests in a file."""
    body = ast.parse((ROOT / path).read_text()).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return {name for name in functions if name.startswith("test_")}


def test_every_row_has_a_test():
    """Check that the page names tests that there are, and a reason for each no."""
    assert PAGE.count("::test_") == len(ROWS) > 60
    for tool, verdict, how, path, test in ROWS:
        assert test in names_in(path), tool
        assert verdict == "yes" or (verdict in ("no", "by hand") and how), tool


def test_every_test_has_a_row():
    """Check that each test beside this file is on the page, once."""
    named = Counter((path, test) for *_, path, test in ROWS)
    for file in Path(__file__).parent.glob("test_*.py"):
        path = str(file.relative_to(ROOT))
        if file != Path(__file__):
            assert all(named[path, test] == 1 for test in names_in(path)), path


def test_refused_tools_are_named_so():
    """Check that a row says no if, and only if, its test says that it is refused."""
    for tool, verdict, _, _, test in ROWS:
        assert (verdict == "no") == ("refused" in test), tool
