# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the OOD samples that scorers make from others."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.stats import kstest, norm
from scipy.stats import uniform as flat
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture

from confident_clf._detection._synthetic import synthetic_ood
from confident_clf.metrics import auroc, make_ood_scorer

KINDS = ["gaussian", "permuted", "uniform"]
RNG = np.random.default_rng(0)
# Two features that are nearly one, of different scales.
X = RNG.exponential(size=(4000, 1)) * [1.0, 100.0] + RNG.normal(size=(4000, 2)) * 1e-3


def test_laws():
    """Check the law of each feature, and that no features depend on each other."""
    gaussian, permuted, uniform = (synthetic_ood(X, kind) for kind in KINDS)
    for i in range(2):
        low, high = X[:, i].min(), X[:, i].max()
        law = norm(X[:, i].mean(), X[:, i].std())
        assert kstest(gaussian[:, i], law.cdf).pvalue > 0.01
        law = flat(low, high - low)
        assert kstest(uniform[:, i], law.cdf).pvalue > 0.01
        assert_array_equal(np.sort(permuted[:, i]), np.sort(X[:, i]))
    assert np.corrcoef(X.T)[0, 1] > 0.99
    for samples in (gaussian, permuted, uniform):
        assert samples.shape == X.shape
        assert abs(np.corrcoef(samples.T)[0, 1]) < 0.06


@pytest.mark.parametrize("kind", KINDS)
def test_always_the_same(kind):
    """Check that the same rows give the same samples, whatever the global state."""
    rows = X[:50].copy()
    first = synthetic_ood(rows, kind)
    np.random.seed(3)
    assert_array_equal(synthetic_ood(rows.tolist(), kind), first)
    assert_array_equal(rows, X[:50])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_images(dtype, kind):
    """Check that pixels stay of their type and range, and are drawn one by one."""
    images = np.random.default_rng(0).integers(0, 256, size=(200, 2, 3, 3))
    images[:, 0, 0, 0] = 7
    samples = synthetic_ood(images.astype(dtype), kind)
    assert samples.dtype == dtype
    assert samples.shape == images.shape
    assert (samples[:, 0, 0, 0] == 7).all()
    if dtype == np.uint8 or kind != "gaussian":
        assert 0 <= samples.min() <= samples.max() <= 255
    assert samples[:, 1].std(axis=0).min() > 60


@pytest.mark.parametrize("kind", KINDS)
def test_data_frames(kind):
    """Check that a data frame gives a data frame, with its columns and their types."""
    frame = pd.DataFrame(X[:100], columns=["a", "b"]).assign(c=np.arange(100))
    frame.index = frame.index[::-1]
    samples = synthetic_ood(frame, kind)
    assert list(samples.columns) == ["a", "b", "c"]
    assert_array_equal(samples.dtypes, frame.dtypes)
    if kind == "permuted":
        for name in frame:
            assert_array_equal(np.sort(samples[name]), np.sort(frame[name]))
    else:
        assert_array_equal(samples[["a"]], synthetic_ood(frame[["a"]], kind))


def test_categories():
    """Check that categories can be permuted only, and stay categories."""
    frame = pd.DataFrame({"a": X[:90, 0], "b": pd.Categorical(["x", "y", "z"] * 30)})
    samples = synthetic_ood(frame, "permuted")
    assert samples["b"].dtype == frame["b"].dtype
    assert samples["b"].value_counts().tolist() == [30, 30, 30]
    assert (samples["b"] != frame["b"]).any()
    for kind in ("gaussian", "uniform"):
        with pytest.raises(ValueError, match=rf"X_ood='{kind}' needs .*'permuted'"):
            synthetic_ood(frame, kind)


def test_sparse_is_refused():
    """Check that sparse rows are refused by name."""
    with pytest.raises(ValueError, match=r"X_ood='permuted' .* sparse"):
        synthetic_ood(csr_array(X), "permuted")


@pytest.mark.parametrize("kind", KINDS)
def test_scorer(kind):
    """Check that a scorer makes them from ID rows alone, next to labelled OOD rows."""
    X, y = make_blobs(150, centers=3, random_state=0)
    clf = LogisticRegression().fit(X[y < 2], y[y < 2])
    X_id = X[y < 2]
    made = clf.predict_proba(synthetic_ood(X_id, kind)).max(axis=1)
    y_score = np.r_[clf.predict_proba(np.r_[X_id, X[y == 2]]).max(axis=1), made]
    y_true = np.repeat([1, 0], [100, 150])
    scorer = make_ood_scorer(X_ood=kind)
    assert_allclose(scorer(clf, X, y), auroc(y_true, y_score))
    assert_allclose(
        scorer(clf, X_id),
        auroc(y_true[:100].tolist() + [0] * 100, np.r_[y_score[:100], made]),
    )
    assert repr(scorer) == f"make_ood_scorer('auroc', X_ood={kind!r})"
    with pytest.raises(ValueError, match="All 50 rows are out-of-distribution"):
        scorer(clf, X[y == 2], y[y == 2])


def test_scorer_of_a_density():
    """Check that a density of dependent features refuses independent ones."""
    scorer = make_ood_scorer(X_ood="permuted")
    assert scorer(GaussianMixture(3, random_state=0).fit(X), X) > 0.9


def test_unknown_name():
    """Check that a name of no kind is refused when the scorer is made."""
    message = r"X_ood='normal' is not a kind .*'gaussian', 'permuted', 'uniform'"
    with pytest.raises(ValueError, match=message):
        make_ood_scorer(X_ood="normal")


@pytest.mark.parametrize("kind", ["gaussian", "uniform"])
def test_booleans(kind):
    """Check that they stay booleans, of both values, as many as numbers would be."""
    X = np.random.default_rng(0).random((4000, 2)) < [0.5, 0.9]
    drawn = synthetic_ood(X, kind)
    assert drawn.dtype == bool
    numbers = synthetic_ood(X.astype(float), kind)
    assert_array_equal(drawn, numbers >= 0.5)
    assert 0.4 < drawn[:, 0].mean() < 0.6
