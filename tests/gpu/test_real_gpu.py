# SPDX-License-Identifier: BSD-3-Clause
"""A smoke test on a real GPU; the end of the test run says where there is none."""

import pickle

import numpy as np
import pytest
import torch

from confident_clf import OODDetector, load, save
from tests.gpu.test_places import (
    SOURCES,
    Y,
    extra,
    make,
    on_rows_and_images,
    pytestmark,
)

__all__ = ["pytestmark"]


@on_rows_and_images
@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_real_gpu(source, X, precision, tmp_path):
    """Check a fit, its score, its detector, and copies on the GPU and on the CPU."""
    clf = make(source, precision=precision, method="knn").fit(X, Y, **extra(source, X))
    assert next(clf.net_.module_.parameters()).is_cuda
    expected = clf.predict_proba(X)
    assert np.isfinite(clf.ood_score(X)).all()
    save(clf, tmp_path / "it")
    for copy in (pickle.loads(pickle.dumps(clf)), load(tmp_path / "it", device="cpu")):
        np.testing.assert_allclose(copy.predict_proba(X), expected, atol=1e-3)
    again = make(source, precision=precision, method="knn").fit(
        X, Y, **extra(source, X)
    )
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    detector = OODDetector(clf, target_tpr=0.8, random_state=0)
    detector.fit(X, Y, **extra(source, X))
    assert set(detector.predict(X)) <= {-1, 1}
    assert torch.cuda.memory_allocated() < 2**30
