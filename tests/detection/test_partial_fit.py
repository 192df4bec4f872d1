# SPDX-License-Identifier: BSD-3-Clause
"""Detectors on a stream: what is held out, kept, trained on, and promised."""

import pickle
from itertools import pairwise
from math import ceil

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.sparse import csr_array, csr_matrix
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDOneClassSVM
from sklearn.naive_bayes import GaussianNB
from torch.utils.data import TensorDataset

from confident_clf import (
    ConfidentClassifier,
    OODDetector,
    OpenSetClassifier,
    dumps,
    loads,
)
from confident_clf._detection._reservoir import reservoir_moves
from confident_clf.export import to_torch
from confident_clf.utils import _lazy

X, Y = make_blobs(3000, centers=3, cluster_std=2.0, random_state=0)
NAMED = pd.DataFrame(X, columns=["a", "b"])
# Over-confident far from the data, but quick: a pass over a batch takes a millisecond.
BAYES = GaussianNB()
NET = ConfidentClassifier(
    ood_source=None, hidden=4, method="msp", max_epochs=2, random_state=0
)


class Watched(GaussianNB):
    """A classifier of the second column that knows which rows it was trained on."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Note the numbers in the first column."""
        self.seen_ = [*getattr(self, "seen_", []), *X[:, 0].tolist()]
        self.weights_ = sample_weight
        return super().partial_fit(X[:, 1:], y, classes, sample_weight)

    def predict_proba(self, X):
        """Predict by the second column."""
        return super().predict_proba(X[:, 1:])


def streamed(detector, X=X, y=Y, size=100, start=0, **params):
    """Return a detector that saw X in batches of a size."""
    for i in range(start, len(y), size):
        detector.partial_fit(
            X[i : i + size], y[i : i + size], classes=np.unique(Y), **params
        )
    return detector


def rows_kept(n_rows, cuts, size, rng):
    """Return the numbers of the rows in a reservoir after batches between the cuts."""
    kept = np.array([], dtype=int)
    for start, stop in pairwise([0, *cuts, n_rows]):
        stays, enters = reservoir_moves(start, stop - start, size, rng)
        kept = np.append(kept[stays], start + enters)
    return kept


# The reservoir


@pytest.mark.parametrize("cuts", [[], [3, 4, 15], range(1, 20)], ids=str)
def test_every_row_is_equally_likely(cuts):
    """Check inclusions by a chi-square test against size / n, whatever the batches.

    The inclusions of one draw sum to `size`. So their covariance is that of a sample
    without replacement, and the statistic has n - 1 degrees of freedom.
    """
    n, size, n_draws, rng = 20, 6, 1000, np.random.default_rng(0)
    draws = np.concatenate([rows_kept(n, cuts, size, rng) for _ in range(n_draws)])
    counts = np.bincount(draws, minlength=n)
    assert counts.sum() == size * n_draws
    p = size / n
    variance = n_draws * p * (1 - p) * n / (n - 1)
    statistic = ((counts - n_draws * p) ** 2).sum() / variance
    assert 0.001 < stats.chi2(n - 1).sf(statistic) < 0.999


def test_every_pair_is_equally_likely():
    """Check that places do not stick together: all ten pairs of five rows."""
    rng = np.random.default_rng(0)
    draws = [tuple(sorted(rows_kept(5, [2, 3], 2, rng))) for _ in range(1000)]
    _, counts = np.unique(draws, axis=0, return_counts=True)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("n_seen", [0, 2, 5, 50])
def test_reservoir_of_no_new_rows(n_seen):
    """Check that nothing moves without new rows."""
    stays, enters = reservoir_moves(n_seen, 0, 5, np.random.default_rng(0))
    assert_array_equal(stays, np.arange(min(n_seen, 5)))
    assert len(enters) == 0


# What is held out


@pytest.fixture(scope="module")
def watched():
    """Return a detector over a watched classifier, after ten unequal batches."""
    numbered = np.column_stack([np.arange(len(X)), X[:, 0]])
    detector = OODDetector(Watched(), cv=0.3, reservoir_size=50, random_state=0)
    sizes = []
    for start, stop in pairwise([0, 50, 57, 60, 300, 701, 900, 1000]):
        rows = slice(start, stop)
        sizes.append(ceil(0.3 * (stop - start)))
        detector.partial_fit(numbered[rows], Y[rows], classes=[0, 1, 2])
    return detector, sizes


def test_calibration_never_meets_training(watched):
    """Check by the rows' numbers that none of the reservoir was trained on."""
    detector, sizes = watched
    seen = set(detector.estimator_.seen_)
    kept = set(detector._stream["rows"][:, 0])
    assert len(seen) == 1000 - sum(sizes)
    assert len(kept) == detector.n_calibration_ == 50
    assert not seen & kept
    assert len({int(row) // 100 for row in kept}) > 5  # from the whole stream


def test_memory_is_bounded():
    """Check that what a detector keeps does not grow with the stream."""
    detector = OODDetector(BAYES, reservoir_size=30, random_state=0)
    sizes = []
    for i in range(0, 3000, 300):
        detector.partial_fit(X[i : i + 300], Y[i : i + 300], classes=[0, 1, 2])
        sizes.append(len(pickle.dumps(detector)))
    assert detector._stream["rows"].shape == (30, 2)
    assert detector._stream["rows"].base is None  # not a view of a batch
    assert max(sizes) - min(sizes) < 50


def test_rows_that_the_classifier_sets_aside():
    """Check that rows of `ood_label` do not calibrate, as in fit."""
    y = np.where(Y == 2, -1, Y)
    clf = clone(NET).set_params(ood_source="explicit", ood_label=-1)
    detector = OODDetector(clf, target_tpr=0.5, random_state=0)
    detector.partial_fit(X[:200], y[:200], classes=[0, 1, -1])
    known = np.isin(X[:200][y[:200] >= 0], detector._stream["rows"]).all(axis=1)
    assert known.sum() == detector.n_calibration_ == len(detector._stream["rows"])
    assert 0 < detector.n_calibration_ < 40


# The threshold


@pytest.mark.parametrize("target_tpr", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("per_class", [False, True])
def test_threshold_is_that_of_fit_on_the_reservoir(target_tpr, per_class):
    """Check that `fit` around the frozen estimator says the same of the same rows."""
    detector = OODDetector(
        BAYES, target_tpr=target_tpr, per_class=per_class, random_state=0
    )
    streamed(detector)
    frozen = OODDetector(
        FrozenEstimator(detector.estimator_), target_tpr=target_tpr, per_class=per_class
    ).fit(detector._stream["rows"])
    assert_array_equal(detector.threshold_, frozen.threshold_)
    assert_array_equal(detector.p_value(X), frozen.p_value(X))
    assert_array_equal(detector.predict(X), frozen.predict(X))
    assert detector.uncalibrated_classes_.tolist() == []


def test_threshold_by_hand():
    """Check the rank of the threshold among the scores of the current estimator."""
    detector = streamed(OODDetector(BAYES, target_tpr=0.9, random_state=0))
    scores = np.sort(detector.score_samples(detector._stream["rows"]))
    assert len(scores) == 600
    assert_allclose(detector.threshold_, scores[601 - 541 - 1], rtol=1e-8)


def test_threshold_follows_the_network():
    """Check that scores of old rows are computed anew when the classifier changes."""
    detector = streamed(OODDetector(BAYES, random_state=0), X[:1000], Y[:1000])
    before = detector.threshold_, detector.estimator_
    moved = X[1000:1500] + np.array([0.0, 3.0])
    detector.partial_fit(moved, Y[1000:1500])
    assert detector.threshold_ != before[0]
    assert detector.estimator_ is not before[1]
    frozen = OODDetector(FrozenEstimator(detector.estimator_))
    assert frozen.fit(detector._stream["rows"]).threshold_ == detector.threshold_
    # Rows from before the change are still there: 200 of 300.
    old = np.isin(detector._stream["rows"], X[:1000]).all(axis=1)
    assert old.sum() == 200 and len(old) == 300


def test_new_samples_are_accepted():
    """Check a network on a stream: the share of new rows is in its binomial band.

    Given the calibration rows it is a beta-binomial variable.
    """
    clf = clone(NET).set_params(ood_source="noise", hidden=(32,))
    detector = OODDetector(clf, reservoir_size=300, random_state=0)
    streamed(detector, X[:2000], Y[:2000], size=250)
    k = 301 - ceil(301 * 0.95)
    law = stats.betabinom(1000, 301 - k, k)
    low, high = law.interval(0.999)
    assert low <= (detector.predict(X[2000:]) == 1).sum() <= high


def test_guarantee_over_streams():
    """Check the mean over streams against the exact probability.

    30 calibration rows of 60 that were held out, and k = 3 for 90 %.
    """
    accepted = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(340, 2))
        y = rng.integers(0, 2, 340)
        rows[:, 0] += 2 * y
        detector = OODDetector(
            BAYES, target_tpr=0.9, reservoir_size=30, random_state=seed
        )
        for start in (0, 100, 200):
            batch = slice(start, start + 100)
            detector.partial_fit(rows[batch], y[batch])
        accepted.append((detector.predict(rows[300:]) == 1).mean())
    standard_error = np.std(accepted) / np.sqrt(len(accepted))
    assert np.mean(accepted) == pytest.approx(1 - 3 / 31, abs=3 * standard_error)


# A short stream


def test_too_few_rows_so_far():
    """Check that scores work, decisions say how many rows they take, and then work."""
    detector = OODDetector(BAYES, random_state=0).partial_fit(X[:50], Y[:50])
    assert detector.n_calibration_ == 10
    assert detector.score_samples(X[:3]).shape == (3,)
    for call in (detector.predict, detector.p_value, detector.decide):
        with pytest.raises(NotFittedError, match=r"at least 19 .* so far there are 10"):
            call(X)
    assert (detector.partial_fit(X[50:100], Y[50:100]).predict(X) == 1).any()


def test_a_file_of_a_short_stream():
    """Check that a detector without a threshold can be saved, and goes on."""
    detector = OODDetector(NET, random_state=0).partial_fit(X[:50], Y[:50])
    with pytest.raises(NotFittedError, match="so far there are 10"):
        to_torch(detector)
    loaded = loads(dumps(detector))
    with pytest.raises(NotFittedError, match="so far there are 10"):
        loaded.predict(X)
    assert (loaded.partial_fit(X[50:100], Y[50:100]).predict(X) == 1).any()


def test_too_few_rows_of_a_class():
    """Check that every class is counted with `per_class`."""
    detector = OODDetector(BAYES, per_class=True, random_state=0)
    detector.partial_fit(X[:100], Y[:100])
    assert detector.n_calibration_.sum() == 20
    with pytest.raises(NotFittedError, match=r"of every class; so far there are \["):
        detector.predict(X)
    assert streamed(detector, start=100).threshold_.shape == (3,)


def test_nothing_held_out_is_known():
    """Check a batch in which only rows that are set aside were held out."""
    y = np.array([0, 1] * 10 + [-1] * 80)
    clf = clone(NET).set_params(ood_source="explicit", ood_label=-1)
    detector = OODDetector(clf, cv=0.01, target_tpr=0.5, random_state=0)
    detector.partial_fit(X[:100], y)
    assert detector.n_calibration_ == 0
    detector.partial_fit(X[100:150], Y[100:150] % 2)
    assert detector.n_calibration_ == 1


# Kinds of data, files and settings


@pytest.mark.parametrize("copied", ["dumps", "pickle"])
def test_a_stream_goes_on_from_a_file(copied):
    """Check that a copy from bytes goes on with the same rows as the original.

    A pickle also has the optimizer, and so the same network to the bit.
    """
    detector = OODDetector(NET, reservoir_size=30, random_state=0)
    streamed(detector, X[:500], Y[:500])
    makes = {"dumps": (dumps, loads), "pickle": (pickle.dumps, pickle.loads)}
    write, read = makes[copied]
    copy = read(write(detector))
    assert copy.threshold_ == detector.threshold_
    for each in (detector, copy):
        streamed(each, X[:1000], Y[:1000], start=500)
    assert_array_equal(copy._stream["rows"], detector._stream["rows"])
    assert np.isin(copy._stream["rows"], X[500:1000]).any()
    if copied == "pickle":
        assert copy.threshold_ == detector.threshold_


def test_reproducible():
    """Check that an int gives the same stream, another int another; a clone is new."""
    first, second, other = (
        streamed(OODDetector(BAYES, random_state=seed)) for seed in (0, 0, 1)
    )
    assert first.threshold_ == second.threshold_ != other.threshold_
    assert not hasattr(clone(first), "estimator_")
    assert streamed(clone(first)).threshold_ == first.threshold_


@pytest.mark.parametrize(
    "kind",
    [NAMED.__class__, pl.from_pandas, csr_array, csr_matrix, torch.as_tensor, list],
    ids=lambda kind: kind.__name__,
)
def test_kinds_of_data(kind):
    """Check that other containers give what an array gives, with and without a file."""
    detectors = [OODDetector(NET, random_state=0) for _ in range(2)]
    is_frame = kind in (NAMED.__class__, pl.from_pandas)
    for start in (0, 100, 200):
        rows = slice(start, start + 100)
        given = kind(NAMED[rows]) if is_frame else kind(X[rows])
        for detector, batch in zip(detectors, (X[rows], given), strict=True):
            detector.partial_fit(batch, Y[rows], classes=[0, 1, 2])
    assert detectors[0].threshold_ == detectors[1].threshold_
    loaded = loads(dumps(detectors[1]))
    loaded.partial_fit(given, Y[200:300])
    assert loaded.n_calibration_ == 80


def test_indices_of_a_file_are_checked():
    """Check that sparse rows with indices outside of them are not used."""
    detector = OODDetector(NET, random_state=0)
    detector.partial_fit(csr_array(X[:100]), Y[:100])
    detector._stream["rows"]["indices"] = detector._stream["rows"]["indices"] + 1000
    with pytest.raises(ValueError, match="indices must be < 2"):
        loads(dumps(detector)).partial_fit(csr_array(X[:100]), Y[:100])


def test_images_that_are_read_later(tmp_path, monkeypatch):
    """Check images on the disk and a Dataset: only rows that are kept are in memory."""
    monkeypatch.setattr(_lazy, "LARGE_BYTES", 0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 1, 8, 8), dtype=np.uint8)
    y = np.arange(120) % 2
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    as_dataset = TensorDataset(torch.as_tensor(images), torch.as_tensor(y))
    thresholds = []
    for batch, labels in ((images, y), (mapped, y), (as_dataset, None)):
        detector = OODDetector(NET, reservoir_size=20, random_state=0)
        for _ in range(2):
            detector.partial_fit(batch, labels)
        rows = detector._stream["rows"]
        assert rows.dtype == np.uint8 and rows.shape == (20, 1, 8, 8)
        assert not isinstance(rows, np.memmap)
        thresholds.append(detector.threshold_)
    assert len(set(thresholds)) == 1


def test_score_of_features():
    """Check that "knn" is fitted on what the last batch was trained on, and no more."""
    detector = OODDetector(NET, method="knn", random_state=0)
    streamed(detector, X[:500], Y[:500])
    kept = detector._stream["rows"]
    trained = X[400:500][~np.isin(X[400:500], kept).all(axis=1)]
    assert len(trained) == 80
    twin = pickle.loads(pickle.dumps(detector.estimator_))
    twin.fit_method(trained, Y[400:500][~np.isin(X[400:500], kept)[:, 0]])
    assert_array_equal(detector.ood_score(X), twin.ood_score(X))


def test_estimator_without_classes():
    """Check a stream without labels, of a one-class machine."""
    detector = OODDetector(SGDOneClassSVM(random_state=0), random_state=0)
    for i in range(0, 1000, 200):
        detector.partial_fit(X[i : i + 200])
    assert detector.n_calibration_ == 200
    assert 0.9 < (detector.predict(X) == 1).mean() < 0.99


def test_parameters_are_split():
    """Check that weights are those of the rows trained on, with routing too."""
    numbered = np.column_stack([np.arange(100), X[:100, 0]])
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            clf = Watched()
            if routing:
                clf.set_partial_fit_request(sample_weight=True)
            detector = OODDetector(clf, random_state=0)
            weights = np.arange(100) / 50
            detector.partial_fit(numbered, Y[:100], sample_weight=weights)
        fitted = detector.estimator_
        assert_allclose(fitted.weights_, np.array(fitted.seen_) / 50)


def test_open_set_classifier():
    """Check that it decides as its detector, and refuses as the docs say."""
    names = np.array(["a", "b", "c"])[Y]
    open_set = OpenSetClassifier(BAYES, unknown_label="?", random_state=0)
    open_set.partial_fit(X[:50], names[:50], classes=["a", "b", "c"])
    with pytest.raises(NotFittedError, match="so far there are 10"):
        open_set.predict(X)
    for i in range(50, 1000, 100):
        open_set.partial_fit(X[i : i + 100], names[i : i + 100])
    detector = OODDetector(BAYES, random_state=0)
    for start, stop in pairwise([0, *range(50, 1051, 100)]):
        detector.partial_fit(X[start:stop], names[start:stop], classes=["a", "b", "c"])
    assert open_set.threshold_ == detector.threshold_
    expected = np.where(detector.predict(X) == 1, detector.estimator_.predict(X), "?")
    assert_array_equal(open_set.predict(X), expected)
    with pytest.raises(ValueError, match="unknown_label='c' is a label in y"):
        open_set.set_params(unknown_label="c").partial_fit(X[:9], names[:9])


# What is refused


@pytest.mark.parametrize("wrapper", [OODDetector, OpenSetClassifier])
@pytest.mark.parametrize(
    ("estimator", "cv", "reason"),
    [
        (LogisticRegression(), 0.2, "LogisticRegression has no partial_fit. Use fit"),
        (FrozenEstimator(BAYES.fit(X, Y)), 0.2, "FrozenEstimator is not trained"),
        (BAYES, 5, "cv=5 is not a share. Pass a float such as cv=0.2"),
    ],
)
def test_detectors_that_cannot(wrapper, estimator, cv, reason):
    """Check that these have no partial_fit, as scikit-learn's, and the reason."""
    detector = wrapper(estimator, cv=cv)
    assert not hasattr(detector, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        detector.partial_fit(X, Y)
    assert reason in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("params", "batch", "message"),
    [
        ({}, (X[:1], Y[:1]), "X has 1 row, and cv=0.2 holds out 1, so none is left"),
        ({"reservoir_size": 18}, (X, Y), "at least 19 .* reservoir_size=18. Pass a"),
        ({"reservoir_size": 50, "per_class": True}, (X, Y), "at least 57 calibration"),
        ({}, (X, Y, [0, 1]), r"labels \[2\] that are not among the classes \[0, 1\]"),
        ({"estimator": SGDOneClassSVM()}, (X, Y, [0, 1]), "not a classifier. Leave"),
        ({"reservoir_size": 0}, (X, Y), "'reservoir_size' parameter"),
    ],
)
def test_calls_that_are_refused(params, batch, message):
    """Check that the message names the value, and that nothing has been fitted."""
    detector = OODDetector(BAYES).set_params(**params)
    with pytest.raises(ValueError, match=message):
        detector.partial_fit(*batch)
    assert not hasattr(detector, "estimator_")


def test_a_later_call_that_is_refused_changes_nothing():
    """Check errors before, in and after the training of a batch."""
    numbered = np.column_stack([np.arange(200), X[:200, 0]])
    detector = OODDetector(Watched(), random_state=0)
    detector.partial_fit(numbered[:100], Y[:100])
    before = pickle.dumps(detector)
    weights = np.full(100, 1.0)
    nan = np.full((100, 2), np.nan)
    for batch, y, params, error in [
        (numbered[100:], np.full(100, 7), {}, "labels \\[7\\]"),
        (numbered[100:, :1], Y[100:200], {}, "has 1 features"),
        (nan, Y[100:200], {}, "NaN"),
        (numbered[100:], Y[100:200], {"sample_weight": weights * np.inf}, "infinity"),
    ]:
        with pytest.raises(ValueError, match=error):
            detector.partial_fit(batch, y, **params)
        assert pickle.dumps(detector) == before
    detector.set_params(reservoir_size=500)
    with pytest.raises(ValueError, match="differs from that of the first call, 1000"):
        detector.partial_fit(numbered[100:], Y[100:200])


def test_fit_before_and_after_a_stream():
    """Check that a stream trains on after fit and calibrates anew; fit ends it."""
    numbered = np.column_stack([np.arange(1000) / 1000, X[:1000, 0]])
    detector = OODDetector(clone(NET), random_state=0).fit(numbered[:500], Y[:500])
    detector.partial_fit(numbered[500:600], Y[500:600])
    assert detector.estimator_.n_epochs_ == NET.max_epochs + 1
    assert detector.n_calibration_ == 20
    assert detector._stream["rows"][:, 0].min() >= 0.5
    again = OODDetector(clone(NET), random_state=0).fit(numbered[:500], Y[:500])
    detector.fit(numbered[:500], Y[:500])
    assert detector.threshold_ == again.threshold_
    assert not hasattr(detector, "_stream")


def test_a_confidence_that_is_not_finite():
    """Check that a classifier that diverged is not kept."""
    detector = OODDetector(SGDClassifier(loss="log_loss", random_state=0))
    streamed(detector, X[:500], Y[:500])
    threshold = detector.threshold_
    with np.errstate(all="ignore"), pytest.raises(ValueError):
        detector.partial_fit(X[500:1000] * 1e300, Y[500:1000])
    assert detector.threshold_ == threshold
