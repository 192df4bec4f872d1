# SPDX-License-Identifier: BSD-3-Clause
"""The fixture of pretended GPUs, and which tests can run here."""

import pytest
import torch

from tests.gpu.pretend_gpu import pretending

# The pretended GPUs stand in for inner functions of torch, which change. They were
# tried with this version and later ones.
TRIED_FROM = (2, 14)


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs that torch takes to be there."""
    with pretending(monkeypatch) as pretended:
        yield pretended


def pytest_collection_modifyitems(items):
    """Leave out the real GPU where there is none, the pretended ones where there is."""
    has_gpu = torch.cuda.is_available()
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])

    def can_run(item):
        if item.path.parent.name != "gpu":
            return True
        if item.path.name == "test_real_gpu.py":
            return has_gpu
        return not has_gpu and version >= TRIED_FROM

    items[:] = filter(can_run, items)
