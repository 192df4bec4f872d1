# SPDX-License-Identifier: BSD-3-Clause
"""Tests of `decide`: everything about a sample by one pass of the network."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from confident_clf import (
    ConfidentClassifier,
    Decisions,
    OODDetector,
    OpenSetClassifier,
)

X, y = load_iris(return_X_y=True)
FIT, NEW = slice(0, None, 2), slice(1, None, 2)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]


class Counting(nn.Sequential):
    """A network that counts the samples that go through it."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            nn.Linear(*input_shape, 16), nn.ReLU(), nn.Linear(16, n_classes)
        )
        self.n_passes = 0

    def forward(self, x):
        self.n_passes += 1
        return super().forward(x)


def classifier(**params):
    return ConfidentClassifier(
        Counting, ood_source=None, lr=0.02, max_epochs=20, random_state=0, **params
    )


def passes(clf, function):
    """Return how often the network was called, and the result."""
    module = clf.net_.module_
    before = module.n_passes
    result = function()
    return module.n_passes - before, result


@pytest.fixture(scope="module")
def fitted():
    return {
        method: make_pipeline(StandardScaler(), classifier(method=method)).fit(
            X[FIT], NAMES[FIT]
        )
        for method in ("auto", "msp", "knn", "vim")
    }


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("method", ["auto", "msp", "knn", "vim"])
def test_one_pass_tells_everything(fitted, method, per_class):
    """Check that all methods send a batch through the network once."""
    pipe = fitted[method]
    detector = OODDetector(
        FrozenEstimator(pipe), target_tpr=0.8, per_class=per_class
    ).fit(X[NEW], NAMES[NEW])
    open_set = OpenSetClassifier(
        FrozenEstimator(pipe), target_tpr=0.8, per_class=per_class, unknown_label="?"
    ).fit(X[NEW], NAMES[NEW])
    batch = X[:20]
    for function in (
        detector.decide,
        detector.predict,
        detector.p_value,
        detector.decision_function,
        detector.transform,
        detector.score_samples,
        open_set.decide,
        open_set.predict,
    ):
        n_passes, _ = passes(pipe[-1], lambda function=function: function(batch))
        assert n_passes == 1, function


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("method", ["auto", "msp", "knn", "vim"])
def test_decide_says_what_the_other_methods_say(fitted, method, per_class):
    """Check every field against the method of the classifier or detector."""
    pipe = fitted[method]
    options = {"target_tpr": 0.8, "per_class": per_class}
    detector = OODDetector(FrozenEstimator(pipe), **options).fit(X[NEW], NAMES[NEW])
    decisions = detector.decide(X)
    assert_array_equal(decisions.label, pipe.predict(X))
    assert_array_equal(decisions.accepted, detector.predict(X) == 1)
    assert_array_equal(decisions.p_value, detector.p_value(X))
    scaled = pipe[0].transform(X)
    assert_array_equal(decisions.ood_score, pipe[-1].ood_score(scaled))
    assert 0 < decisions.accepted.sum() < len(X)
    # With a threshold for each class: those of the predicted class.
    confidence = -decisions.ood_score
    thresholds = np.broadcast_to(detector.threshold_, 3)
    which = np.searchsorted(detector.classes_, decisions.label)
    assert_array_equal(decisions.accepted, confidence >= thresholds[which])

    open_set = OpenSetClassifier(FrozenEstimator(pipe), unknown_label="?", **options)
    refusing = open_set.fit(X[NEW], NAMES[NEW]).decide(X)
    assert_array_equal(
        refusing.label, np.where(decisions.accepted, decisions.label, "?")
    )
    assert_array_equal(refusing.label, open_set.predict(X))
    for one, other in zip(refusing[1:], decisions[1:], strict=True):
        assert_array_equal(one, other)


def test_one_pass_inside_a_search(fitted):
    """Check that searches pass a batch on once."""
    search = GridSearchCV(classifier(method="auto"), {"lr": [0.02]}, cv=2)
    search.fit(X[FIT], y[FIT])
    detector = OODDetector(FrozenEstimator(search)).fit(X[NEW], y[NEW])
    n_passes, decisions = passes(
        search.best_estimator_, lambda: detector.decide(X[:20])
    )
    assert n_passes == 1
    assert_array_equal(decisions.label, search.predict(X[:20]))


def test_own_methods_of_a_subclass_are_asked():
    """Check that one pass does not go around what a subclass defines."""

    class Never(ConfidentClassifier):
        def predict(self, X):
            return np.full(len(X), 2)

        def ood_score(self, X, method=None):
            return super().ood_score(X, method) * 0 + np.arange(len(X))

    clf = Never(Counting, ood_source=None, max_epochs=1, random_state=0)
    clf.fit(X[FIT], y[FIT])
    detector = OODDetector(FrozenEstimator(clf)).fit(X[NEW], y[NEW])
    decisions = detector.decide(X[:5])
    assert decisions.label.tolist() == [2] * 5
    assert decisions.ood_score.tolist() == [0, 1, 2, 3, 4]


def test_decide_leaves_the_classifier_as_it_was(fitted):
    """Check that nothing of a batch is kept."""
    clf = fitted["auto"][-1]
    before = dict(vars(clf))
    detector = OODDetector(FrozenEstimator(clf)).fit(X[NEW], NAMES[NEW])
    detector.decide(X)
    assert vars(clf) == before


@pytest.mark.parametrize("per_class", [False, True])
def test_scikit_learns_classifiers(per_class):
    """Check a classifier without a network."""
    clf = LogisticRegression(max_iter=1000).fit(X[FIT], y[FIT])
    detector = OODDetector(FrozenEstimator(clf), target_tpr=0.8, per_class=per_class)
    decisions = detector.fit(X[NEW], y[NEW]).decide(X)
    largest = clf.predict_proba(X).max(axis=1)
    np.testing.assert_allclose(decisions.ood_score, 1 - largest, atol=1e-12)
    assert_array_equal(decisions.label, clf.predict(X))
    assert_array_equal(decisions.p_value, detector.p_value(X))


def test_outlier_detectors_have_no_labels():
    """Check that only classifiers predict a class."""
    forest = IsolationForest(random_state=0, n_estimators=10)
    detector = OODDetector(forest, random_state=0).fit(X)
    decisions = detector.decide(X)
    assert decisions.label is None
    assert_array_equal(decisions.accepted, detector.predict(X) == 1)
    assert list(decisions.to_frame()) == ["accepted", "p_value", "ood_score"]


def test_table_and_pickle():
    """Check that the table has the arrays, and that a pickle is the same."""
    decisions = Decisions(
        NAMES[:2], np.array([True, False]), np.array([0.5, 0.1]), np.array([1.0, 2.0])
    )
    frame = decisions.to_frame()
    assert list(frame) == ["label", "accepted", "p_value", "ood_score"]
    for name in frame:
        assert frame[name].tolist() == getattr(decisions, name).tolist()
    copied = pickle.loads(pickle.dumps(decisions))
    assert type(copied) is Decisions
    assert_array_equal(copied.label, decisions.label)
