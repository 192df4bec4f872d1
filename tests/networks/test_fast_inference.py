# SPDX-License-Identifier: BSD-3-Clause
"""Tests of inference="fast": no padding, the same results up to rounding."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector, dumps, loads

RNG = np.random.default_rng(0)
X = RNG.random((70, 1, 8, 8), dtype=np.float32)
y = np.arange(70) % 2


@pytest.fixture(scope="module")
def clf():
    return ConfidentClassifier(
        device="cpu", ood_source=None, max_epochs=2, inference="fast", random_state=0
    ).fit(X, y)


def batches(clf, function):
    """Return the sizes of the batches that go through the network."""
    seen = []
    handle = clf.net_.module_.register_forward_pre_hook(
        lambda _, args: seen.append(len(args[0]))
    )
    try:
        function()
    finally:
        handle.remove()
    return seen


@pytest.mark.parametrize("n", [1, 3, 70])
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "decision_function", "ood_score"]
)
def test_no_row_is_added(clf, method, n):
    """Check that the network sees the given rows, and each once."""
    sizes = batches(clf, lambda: getattr(clf, method)(X[:n]))
    assert sum(sizes) == n


@pytest.mark.parametrize("method", ["knn", "mahalanobis", "vim", "odin", "react"])
def test_scores_add_no_rows(method):
    """Check features and gradients as well."""
    clf = ConfidentClassifier(
        device="cpu",
        ood_source=None,
        method=method,
        max_epochs=1,
        inference="fast",
        random_state=0,
    ).fit(X, y)
    assert set(batches(clf, lambda: clf.ood_score(X[:1]))) == {1}
    exact = clone(clf).set_params(inference="exact").fit(X, y)
    assert_allclose(clf.ood_score(X), exact.ood_score(X), rtol=1e-4, atol=1e-5)


def test_results_are_those_of_the_bare_network(clf):
    """Check one sample to the bit against plain torch."""
    with torch.inference_mode():
        expected = clf.net_.module_.eval()(torch.from_numpy(X[:1].copy()))
    logits = clf.decision_function(X[:1])
    assert_array_equal(logits, (expected[:, 1].double() - expected[:, 0].double()))


def test_differs_from_exact_by_rounding_only(clf):
    """Check every sample alone, and all together, against padded batches."""
    exact = pickle.loads(pickle.dumps(clf)).set_params(inference="exact")
    expected = exact.predict_proba(X)
    alone = np.concatenate([clf.predict_proba(x[np.newaxis]) for x in X])
    assert_allclose(alone, expected, rtol=1e-5)
    assert_allclose(clf.predict_proba(X), expected, rtol=1e-5)
    assert_allclose(clf.ood_score(X), exact.ood_score(X), rtol=1e-4, atol=1e-5)


def test_takes_effect_at_once():
    """Check that it may be set after fit, and that the default pads."""

    class TwoShapes(nn.Sequential):
        """Rounds small batches differently from large ones."""

        def forward(self, x):
            return super().forward(x) + (1e-3 if len(x) < 32 else 0)

    network = TwoShapes(nn.Flatten(), nn.Linear(64, 2))
    clf = ConfidentClassifier(
        lambda shape, n: network,
        ood_source=None,
        method="msp",
        max_epochs=1,
        device="cpu",
    ).fit(X, y)
    clf.predict(X[:1])  # looks for the batch sizes that round alike
    assert min(batches(clf, lambda: clf.predict(X[:1]))) >= 32
    clf.set_params(inference="fast")
    assert batches(clf, lambda: clf.predict(X[:1])) == [1]


def test_copies_keep_it(clf):
    """Check clone, pickle and a file."""
    for copied in (pickle.loads(pickle.dumps(clf)), loads(dumps(clf))):
        assert copied.inference == "fast"
        assert_array_equal(copied.ood_score(X[:5]), clf.ood_score(X[:5]))
    assert clone(clf).inference == "fast"


def test_detectors_use_it(clf):
    """Check that a decision of one sample takes one row through the network."""
    detector = OODDetector(FrozenEstimator(clf)).fit(X, y)
    assert batches(clf, lambda: detector.decide(X[:1])) == [1]


def test_unknown_names_are_refused():
    """Check the message of a value that does not exist."""
    with pytest.raises(ValueError, match="inference"):
        ConfidentClassifier(device="cpu", inference="quick").fit(X, y)


def test_threads_of_the_process_do_not_matter_for_small_networks():
    """Check that features of one sample are not padded to a large batch."""
    rows = RNG.normal(size=(60, 5)).astype(np.float32)
    clf = ConfidentClassifier(
        device="cpu", ood_source=None, method="knn", max_epochs=1, random_state=0
    ).fit(rows, np.arange(60) % 3)
    expected = clf.ood_score(rows[:1])
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        sizes = batches(clf, lambda: clf.ood_score(rows[:1]))
        got = clf.ood_score(rows[:1])
    finally:
        torch.set_num_threads(before)
    assert max(sizes) < 1024
    assert_array_equal(got, expected)
