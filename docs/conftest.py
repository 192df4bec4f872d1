# SPDX-License-Identifier: BSD-3-Clause
"""The code of the pages runs in a folder of its own, where it may write files."""

import pytest


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """Run the code of a page in an empty folder."""
    monkeypatch.chdir(tmp_path)
