# SPDX-License-Identifier: BSD-3-Clause
"""The recipes for Dask, Ray and Spark, on two real workers each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.engines
@pytest.mark.parametrize(
    ("engine", "n_checks"), [("dask", 2), ("ray", 1), ("spark", 1)]
)
def test_same_as_in_one_process(engine, n_checks, tmp_path):
    """Check that searches and scores are equal to the bit to those of one process."""
    example = EXAMPLES / f"score_with_{engine}.py"
    process = subprocess.run(
        [sys.executable, example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    answers = re.findall(r"same \w+ as in one process: (\w+)", process.stdout)
    assert answers == ["True"] * n_checks
