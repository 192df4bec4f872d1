# SPDX-License-Identifier: BSD-3-Clause
"""The fixture of pretended GPUs, and which tests can run here."""

import pytest
import torch

from tests.gpu.pretend_gpu import can_pretend, pretending


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs that torch takes to be there."""
    with pretending(monkeypatch) as pretended:
        yield pretended


def pytest_collection_modifyitems(items):
    """Leave out the real GPU where there is none, the pretended ones where there is.

    The end of the test run says so.
    """
    has_gpu = torch.cuda.is_available()

    def can_run(item):
        if item.path.parent.name != "gpu":
            return True
        if item.path.name == "test_real_gpu.py":
            return has_gpu
        return not has_gpu and can_pretend()

    items[:] = filter(can_run, items)
