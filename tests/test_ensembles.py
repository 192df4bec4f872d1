# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's calibration and ensembles, around our classifier."""

from functools import partial

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, mutual_info_score
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.metrics import auroc
from confident_clf.scores import mutual_information

X, Y = load_digits(return_X_y=True)
X, UNKNOWN, Y = X[Y < 5] / 16, X[Y >= 5][:200] / 16, Y[Y < 5]
TRAIN, TEST, Y_TRAIN, Y_TEST = train_test_split(X, Y, train_size=400, random_state=0)
fast = partial(ConfidentClassifier, ood_source=None, max_epochs=30)
VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
CALIBRATIONS = ["sigmoid", "isotonic"] + ["temperature"] * (VERSION >= (1, 8))


class DisagreeingEnsemble(VotingClassifier):
    """An ensemble that finds out-of-distribution what its members disagree on."""

    def ood_score(self, X):
        return mutual_information([clf.predict_proba(X) for clf in self.estimators_])


def members(n=3):
    """Return differently seeded classifiers, named."""
    return [(str(seed), fast(random_state=seed)) for seed in range(n)]


def auroc_of(detector):
    """Return how well a detector tells known from unknown digits."""
    scores = [detector.score_samples(Z) for Z in (TEST, UNKNOWN)]
    return auroc(np.repeat([1, 0], [len(Z) for Z in scores]), np.concatenate(scores))


def test_mutual_information_by_scikit_learn():
    """Check against the information between member and class, counted in a table."""
    counts = np.array([[[8, 1, 1], [2, 4, 4]], [[1, 8, 1], [2, 4, 4]]])  # of 10 each
    expected = [
        mutual_info_score(None, None, contingency=counts[:, sample])
        for sample in range(2)
    ]
    assert_allclose(mutual_information(counts / 10), expected, atol=1e-12)


def test_mutual_information_at_its_limits():
    """Check agreement, whose rounding may not be negative, and the most there is."""
    p = np.random.default_rng(0).dirichlet(np.ones(7), size=1000)
    agreed = mutual_information([p, p, p])
    assert (agreed >= 0).all() and (agreed < 1e-14).all()
    assert_allclose(mutual_information(np.eye(4)[:, None]), [np.log(4)])
    with pytest.raises(ValueError, match=r"must have shape .*; got \(1000, 7\)"):
        mutual_information(p)


def test_voting():
    """Check the mean probabilities of an ensemble, and the detector over them."""
    ensemble = VotingClassifier(members(), voting="soft")
    detector = OODDetector(ensemble, random_state=0).fit(TRAIN, Y_TRAIN)
    fitted = detector.estimator_
    p = np.mean([clf.predict_proba(TEST) for clf in fitted.estimators_], axis=0)
    assert_allclose(detector.ood_score(TEST), 1 - p.max(axis=1), atol=1e-12)
    assert fitted.score(TEST, Y_TEST) > 0.93
    assert auroc_of(detector) > 0.87


def test_disagreement():
    """Check the guide's recipe: an ensemble with a score, in a detector."""
    ensemble = DisagreeingEnsemble(members(), voting="soft")
    detector = OODDetector(ensemble, random_state=0).fit(TRAIN, Y_TRAIN)
    p = np.stack([clf.predict_proba(TEST) for clf in detector.estimator_.estimators_])
    of_mean = -(p.mean(axis=0) * np.log(p.mean(axis=0))).sum(axis=1)
    expected = of_mean + (p * np.log(p)).sum(axis=2).mean(axis=0)
    assert_allclose(detector.ood_score(TEST), expected, atol=1e-12)
    assert auroc_of(detector) > 0.87
    assert (detector.predict(TEST) == 1).mean() > 0.85


def test_bagging():
    """Check bagged classifiers: other rows and seeds, and the mean probabilities."""
    ensemble = BaggingClassifier(fast(), n_estimators=3, random_state=0)
    detector = OODDetector(ensemble, random_state=0).fit(TRAIN, Y_TRAIN)
    p = [clf.predict_proba(TEST) for clf in detector.estimator_.estimators_]
    assert_allclose(
        detector.ood_score(TEST), 1 - np.mean(p, axis=0).max(axis=1), atol=1e-12
    )
    assert auroc_of(detector) > 0.87
    disagreement = [
        mutual_information(
            [clf.predict_proba(Z) for clf in detector.estimator_.estimators_]
        ).mean()
        for Z in (TEST, UNKNOWN)
    ]
    assert disagreement[1] > 2 * disagreement[0]


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibration(method, n_classes):
    """Check that calibration lowers the log loss of an overconfident classifier.

    Of temperature scaling, also the temperature: the best one for our logits.
    """
    train, test = Y_TRAIN < n_classes, Y_TEST < n_classes
    noisy = np.where(np.random.default_rng(0).random(400) < 0.3, 0, Y_TRAIN)
    half = np.arange(400) < 200
    clf = fast(random_state=0, max_epochs=60, lr=3e-3)
    clf.fit(TRAIN[train & half], noisy[train & half])
    X_rest, y_rest = TRAIN[train & ~half], noisy[train & ~half]
    calibrated = CalibratedClassifierCV(FrozenEstimator(clf), method=method)
    calibrated.fit(X_rest, y_rest)
    p = calibrated.predict_proba(X_rest)
    assert log_loss(y_rest, p) < log_loss(y_rest, clf.predict_proba(X_rest))
    detector = OODDetector(FrozenEstimator(calibrated)).fit(TEST[test])
    assert np.isfinite(detector.calibration_scores_).all()
    if method == "temperature":
        logits = np.log(clf.predict_proba(X_rest))

        def loss(log_temperature):
            log_p = log_softmax(logits / np.exp(log_temperature), axis=1)
            return -log_p[np.arange(len(y_rest)), y_rest].mean()

        temperature = np.exp(minimize_scalar(loss, bounds=(-5, 5)).x)
        expected = softmax(logits / temperature, axis=1)
        assert temperature > 1.5
        assert_allclose(p, expected, atol=1e-4)
        assert_array_equal(calibrated.predict(TEST), clf.predict(TEST))
