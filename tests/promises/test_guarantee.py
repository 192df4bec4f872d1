# SPDX-License-Identifier: BSD-3-Clause
"""What OODDetector promises, over many draws of calibration and test data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import betabinom, binom, binomtest, chisquare
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold, ShuffleSplit, cross_val_predict
from sklearn.svm import SVC

from confident_clf import OODDetector
from confident_clf._detection._conformal import discoveries

N_DRAWS = 500


class TwoColumns(ClassifierMixin, BaseEstimator):
    """Classifier that predicts the second column and is as confident as the first."""

    def __init__(self, ood_label=None):
        self.ood_label = ood_label

    def fit(self, X, y):
        """Learn the classes only."""
        self.classes_ = np.setdiff1d(
            y, [] if self.ood_label is None else self.ood_label
        )
        return self

    def predict(self, X):
        """Return the second column."""
        return np.asarray(X)[:, 1].astype(self.classes_.dtype)

    def score_samples(self, X):
        """Return the first column."""
        return np.asarray(X)[:, 0]


CLASSIFIER = FrozenEstimator(TwoColumns().fit(None, [0, 1, 2]))


def draw(n, rng, ties=False):
    """Return scores of one class, of four different values if tied."""
    scores = rng.integers(4, size=n) if ties else rng.random(n)
    return np.column_stack([scores, np.zeros(n)])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_calibration", [20, 100, 1000])
def test_share_accepted(n_calibration, ties):
    """Check the shares of new samples accepted against the split-conformal law.

    The number accepted of m new samples is beta-binomial, with the parameters n + 1 - k
    and k of the Beta law; ties only add to it. Its mean must reach the target but for
    2.5 standard errors; how many draws fall below each decile of the law must be a
    binomial number of draws.
    """
    target_tpr, m = 0.95, 10_000
    k = (n_calibration + 1) * 5 // 100  # in integers, not by the code under test
    law = betabinom(m, n_calibration + 1 - k, k)
    rng = np.random.default_rng(n_calibration)
    accepted = []
    for _ in range(N_DRAWS):
        detector = OODDetector(CLASSIFIER, target_tpr=target_tpr)
        detector.fit(draw(n_calibration, rng, ties))
        accepted.append(np.sum(detector.predict(draw(m, rng, ties)) == 1))
    error = law.std() / np.sqrt(N_DRAWS)
    assert law.mean() / m >= target_tpr
    assert np.mean(accepted) > law.mean() - 2.5 * error
    for decile in law.ppf([0.1, 0.5, 0.9]):
        n_below = np.sum(np.less_equal(accepted, decile))
        least, most = binom(N_DRAWS, law.cdf(decile)).ppf([1e-4, 1 - 1e-4])
        assert n_below <= most
        assert ties or n_below >= least


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_are_uniform(ties):
    """Check that p-values of ID samples are uniform over draws; larger with ties."""
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(2000):
        detector = OODDetector(CLASSIFIER, target_tpr=0.5).fit(draw(19, rng, ties))
        p_values.append(detector.p_value(draw(1, rng, ties))[0])
    counts = np.bincount(np.rint(np.multiply(p_values, 20)).astype(int), minlength=21)
    if ties:
        for alpha in (1, 5, 10, 15):
            n_below = int(counts[: alpha + 1].sum())
            share = binomtest(n_below, 2000, alpha / 20, alternative="greater")
            assert share.pvalue > 1e-4
    else:
        assert counts[0] == 0
        assert chisquare(counts[1:]).pvalue > 0.01


def test_false_discoveries_with_thresholds_per_class():
    """Check the same rate where every p-value is one among those of its class."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(N_DRAWS):
        detector = OODDetector(CLASSIFIER, target_tpr=0.5, per_class=True)
        detector.fit(draw_classes(1500, rng))
        X_new = np.r_[draw_classes(40, rng), draw_classes(20, rng) - [9, 0]]
        rejected = detector.predict(X_new, fdr=0.2) == -1
        shares.append(rejected[:40].sum() / max(rejected.sum(), 1))
        assert rejected[40:].all()
    error = np.std(shares) / np.sqrt(N_DRAWS)
    assert abs(np.mean(shares) - 0.2 * 40 / 60) < 3 * error < 0.02


@pytest.mark.parametrize("n_ood, ties", [(0, False), (20, False), (20, True)])
def test_false_discoveries(n_ood, ties):
    """Check the share of ID samples among those called OOD, over 500 batches.

    Without ties the procedure's false discovery rate is fdr times the share of ID
    samples, and so not much below. Samples that are OOD are found all the same.
    """
    n_id, fdr = 40, 0.2
    rng = np.random.default_rng(n_ood)
    shares, found = [], []
    for _ in range(N_DRAWS):
        detector = OODDetector(CLASSIFIER).fit(draw(299, rng, ties))
        ood = draw(n_ood, rng) - [1, 0]
        rejected = detector.predict(np.r_[draw(n_id, rng, ties), ood], fdr=fdr) == -1
        shares.append(rejected[:n_id].sum() / max(rejected.sum(), 1))
        found.append(rejected[n_id:].sum() / max(n_ood, 1))
    error = np.std(shares) / np.sqrt(N_DRAWS)
    expected = fdr * n_id / (n_id + n_ood)
    assert np.mean(shares) < expected + 3 * error
    if not ties:
        assert np.mean(shares) > expected - 3 * error
    if n_ood:
        assert np.mean(found) > 0.99


def test_discoveries_by_hand():
    """Check the step-up rule: up to the largest k with p_(k) <= k * fdr / m."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.integers(1, 21, size=rng.integers(1, 30)) / 20
        fdr = rng.choice([0.05, 0.1, 0.25, 0.5])
        order = np.sort(p)
        hold = [
            k for k in range(1, len(p) + 1) if order[k - 1] <= k * fdr / len(p) + 1e-12
        ]
        threshold = order[hold[-1] - 1] if hold else 0
        assert_array_equal(discoveries(p, fdr), p <= threshold)


def test_fdr_depends_on_the_batch():
    """Check that a sample is called OOD among many such, and not among ID samples."""
    detector = OODDetector(CLASSIFIER).fit(draw(99, np.random.default_rng(0)))
    low, high = [[-1.0, 0]], [[2.0, 0]]
    assert_array_equal(detector.predict(low, fdr=0.1), [-1])
    assert_array_equal(detector.predict(low + high * 19, fdr=0.1), 20 * [1])
    assert_array_equal(detector.predict(low + high * 19)[:2], [-1, 1])
    for fdr in (0, 1, -0.1, 10, np.nan):
        with pytest.raises(ValueError, match=f"fdr must be between 0 and 1; got {fdr}"):
            detector.predict(low, fdr=fdr)


def draw_classes(n, rng):
    """Return samples of three classes, the confidences of which are not alike."""
    label = rng.choice(3, p=[0.6, 0.3, 0.1], size=n)
    return np.column_stack([rng.random(n) + 5 * label, label])


def test_every_class_keeps_its_rate():
    """Check that with per_class each class is accepted as often as promised.

    With one threshold the class of the lowest confidences pays for the others.
    """
    rng = np.random.default_rng(0)
    shares = {True: [], False: []}
    for _ in range(N_DRAWS):
        X, X_new = draw_classes(400, rng), draw_classes(1000, rng)
        for per_class in shares:
            detector = OODDetector(CLASSIFIER, target_tpr=0.9, per_class=per_class)
            accepted = detector.fit(X).predict(X_new) == 1
            shares[per_class].append(
                [accepted[X_new[:, 1] == i].mean() for i in range(3)]
            )
    mean = np.mean(shares[True], axis=0)
    error = np.std(shares[True], axis=0) / np.sqrt(N_DRAWS)
    assert (mean > 0.9 - 3 * error).all()
    # What is above the target is less than one sample of n + 1.
    assert (mean < [0.91, 0.915, 0.94]).all()
    assert_allclose(np.mean(shares[False], axis=0), [5 / 6, 1, 1], atol=0.01)


def test_per_class_by_hand():
    """Check thresholds, decisions and p-values of classes with 1 to 9 and 11 to 14."""
    rows = [[i, 0] for i in range(1, 10)] + [[i, 2] for i in (11, 12, 13, 14)]
    rows += [[0, 1]] * 4
    frozen = FrozenEstimator(TwoColumns().fit(None, [0, 1, 2]))
    detector = OODDetector(frozen, target_tpr=0.8, per_class=True).fit(rows)
    assert_allclose(detector.threshold_, [2, 0, 11], atol=1e-7)
    assert_array_equal(detector.n_calibration_, [9, 4, 4])
    assert_allclose(detector.calibration_scores_[2], [11, 12, 13, 14])
    new = [[1.5, 0], [2, 0], [-1, 1], [10, 2], [12, 2]]
    assert_array_equal(detector.predict(new), [-1, 1, -1, -1, 1])
    assert_allclose(detector.p_value(new), [0.2, 0.3, 0.2, 0.2, 0.6])
    assert_allclose(detector.decision_function(new), [-0.5, 0, -1, -1, 1], atol=1e-7)
    assert_array_equal(detector.score_samples(new), [1.5, 2, -1, 10, 12])
    assert_array_equal(detector.transform(new)[:, 0], [0, 1, 0, 0, 1])


@pytest.mark.parametrize("cv", [0.3, 4])
def test_per_class_groups_held_out_rows(cv):
    """Check that calibration rows are grouped by predictions of who never saw them."""
    X, y = make_blobs(400, centers=3, cluster_std=2.0, random_state=0)
    names = np.array(["c", "a", "b"])[y]
    clf = LogisticRegression()
    folds = KFold(4) if cv == 4 else cv
    detector = OODDetector(clf, cv=folds, per_class=True, random_state=0).fit(X, names)
    if cv == 4:
        rows, proba = (
            slice(None),
            cross_val_predict(clf, X, names, cv=folds, method="predict_proba"),
        )
    else:
        train, rows = next(ShuffleSplit(1, test_size=cv, random_state=0).split(X))
        proba = clf.fit(X[train], names[train]).predict_proba(X[rows])
    groups = proba.argmax(axis=1)
    assert len(groups) == len(X[rows])
    for i in range(3):
        expected = np.sort(proba[groups == i].max(axis=1) - 1)
        assert_allclose(detector.calibration_scores_[i], expected)
        assert detector.n_calibration_[i] == len(expected)
    accepted = detector.predict(X) == 1
    index = np.searchsorted(["a", "b", "c"], detector.estimator_.predict(X))
    assert_array_equal(accepted, detector.decision_function(X) >= 0)
    assert_array_equal(
        accepted, detector.score_samples(X) >= detector.threshold_[index]
    )
    assert_array_equal(accepted, detector.p_value(X) > 0.05 + 1e-12)


def test_per_class_leaves_rows_set_aside_out():
    """Check that OOD rows neither calibrate nor count as a class too small."""
    X = draw_classes(400, np.random.default_rng(0))
    y = np.where(np.arange(400) < 5, -1, X[:, 1])
    clf = TwoColumns(ood_label=-1)
    detector = OODDetector(clf, cv=4, per_class=True).fit(X, y)
    assert_array_equal(detector.n_calibration_, np.bincount(X[5:, 1].astype(int)))


class CannotFit(LogisticRegression):
    """Classifier that must not be fitted."""

    def fit(self, X, y):
        """Raise an error that no test expects."""
        raise AssertionError("fit was called")


def test_class_with_too_few_rows():
    """Check that a small class is refused before fitting, with the numbers."""
    X, y = make_blobs([100, 60, 18], random_state=0)
    message = r"0.95 take at least 19 .* 1 of 3 classes have fewer, 18 are labelled 2"
    with pytest.raises(ValueError, match=message):
        OODDetector(CannotFit(), cv=5, per_class=True).fit(X, y)
    frozen = FrozenEstimator(LogisticRegression().fit(X, y))
    with pytest.raises(ValueError, match=message):
        OODDetector(frozen, per_class=True).fit(X, y)
    # Without labels it shows in the predictions.
    with pytest.raises(
        ValueError, match=r"2 of 3 classes have fewer, 0 are predicted 1"
    ):
        OODDetector(frozen, per_class=True).fit(np.full((20, 2), 99.0))
    _, held_out = next(ShuffleSplit(1, test_size=0.2, random_state=0).split(X))
    n = np.bincount(y[held_out])[2]
    with pytest.raises(
        ValueError, match=f"2 of 3 classes have fewer, {n} are labelled 2"
    ):
        OODDetector(CannotFit(), per_class=True, random_state=0).fit(X, y)


def test_per_class_takes_a_classifier():
    """Check that an estimator without classes is refused before fitting."""
    with pytest.raises(TypeError, match="needs a classifier; GaussianMixture is not"):
        OODDetector(GaussianMixture(), per_class=True).fit(np.zeros((30, 1)))


def test_per_class_with_a_classifier_of_decisions():
    """Check that each of two classes gets its threshold of distances."""
    X, y = make_blobs(300, centers=2, cluster_std=3.0, random_state=0)
    detector = OODDetector(SVC(), cv=5, per_class=True, target_tpr=0.9).fit(X, y)
    assert detector.threshold_.shape == (2,)
    predicted = detector.estimator_.predict(X)
    for label in (0, 1):
        rate = np.mean(detector.predict(X)[predicted == label] == 1)
        assert 0.85 < rate < 0.98
