# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the confidence of any estimator."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from confident_clf import OODDetector
from confident_clf._detection._confidence import check_method, id_confidence
from confident_clf.scores import LOGIT_SCORES, score_logits

X, Y = make_blobs(60, centers=3, cluster_std=3.0, random_state=0)
Y_BINARY = (Y > 0).astype(int)


class Scorer(BaseEstimator):
    """Estimator with scores of its own."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        """Do nothing, as there is nothing to learn."""
        self.is_fitted_ = True
        return self

    def ood_score(self, X, method=None):
        """Return the first feature, times 2 for the one method there is."""
        if method not in (None, "double"):
            raise ValueError(f"method={method!r}")
        return self.scale * X[:, 0] * (2 if method else 1)

    def score(self, X, y=None):
        """Return a number, for searches."""
        return self.scale

    def score_samples(self, X):
        """Return what must not be used where there is an `ood_score`."""
        raise NotImplementedError


def wrap_pipeline(estimator):
    """Fit the estimator behind steps that change nothing, one of them left out."""
    steps = StandardScaler(with_mean=False, with_std=False), "passthrough", estimator
    return make_pipeline(*steps).fit(X, Y)


def wrap_frozen(estimator):
    """Fit and freeze the estimator."""
    return FrozenEstimator(estimator.fit(X, Y))


def wrap_search(estimator):
    """Fit the estimator by a search."""
    return GridSearchCV(estimator, {}, cv=2).fit(X, Y)


def wrap_twice(estimator):
    """Fit the estimator in a search of a pipeline, and freeze that."""
    pipeline = make_pipeline(
        StandardScaler(with_mean=False, with_std=False), GridSearchCV(estimator, {})
    )
    return FrozenEstimator(pipeline.fit(X, Y))


WRAPPERS = [wrap_pipeline, wrap_frozen, wrap_search, wrap_twice]


def test_own_score():
    """Check that an estimator's own score comes first, negated, and gets the method."""
    assert_array_equal(id_confidence(Scorer().fit(X), X), -X[:, 0])
    assert_array_equal(id_confidence(Scorer().fit(X), X, "double"), -2 * X[:, 0])


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_own_score_behind_wrappers(wrap):
    """Check that wrappers do not hide the estimator's own score."""
    wrapped = wrap(Scorer())
    assert_array_equal(id_confidence(wrapped, X), -X[:, 0])
    assert_array_equal(id_confidence(wrapped, X, "double"), -2 * X[:, 0])


@pytest.mark.parametrize("method", [None, *sorted(LOGIT_SCORES)])
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_classifier_behind_wrappers(wrap, method):
    """Check that wrappers change nothing for classifiers without an own score."""
    clf = LogisticRegression().fit(X, Y)
    wrapped = wrap(LogisticRegression())
    expected = id_confidence(clf, X, method)
    assert_allclose(id_confidence(wrapped, X, method), expected)


def test_pipeline_transforms():
    """Check that samples reach the last step of a pipeline transformed."""
    scaler = StandardScaler().fit(X)
    pipeline = make_pipeline(StandardScaler(), Scorer()).fit(X)
    assert_allclose(
        id_confidence(pipeline, X, "double"), -2 * scaler.transform(X)[:, 0]
    )


@pytest.mark.parametrize("estimator", [GaussianMixture(2), IsolationForest()])
def test_densities(estimator):
    """Check that densities and outlier detectors give their score_samples."""
    estimator.set_params(random_state=0).fit(X)
    assert_array_equal(id_confidence(estimator, X), estimator.score_samples(X))


@pytest.mark.parametrize("y", [Y, Y_BINARY])
def test_probabilities(y):
    """Check that a classifier gives its maximum probability, less 1."""
    clf = LogisticRegression().fit(X, y)
    expected = clf.predict_proba(X).max(axis=1) - 1
    assert_allclose(id_confidence(clf, X), expected, atol=1e-14)


def test_probabilities_saturated():
    """Check that samples with a probability of 1 still rank."""
    clf = LogisticRegression().fit(X, Y)
    outwards = X[Y == 0].mean(axis=0) - X.mean(axis=0)
    far = np.array([[300.0], [350.0], [400.0]]) * outwards
    assert_array_equal(clf.predict_proba(far).max(axis=1), 1.0)
    assert (np.diff(id_confidence(clf, far)) > 0).all()


def test_zero_probabilities():
    """Check that probabilities of exactly 0 are no trouble."""
    clf = RandomForestClassifier(5, random_state=0).fit(X, Y)
    confidence = id_confidence(clf, X)
    assert_allclose(confidence, clf.predict_proba(X).max(axis=1) - 1, atol=1e-14)
    assert confidence.max() == 0.0


def test_decisions():
    """Check that decision values count by size: the largest, or the distance from 0."""
    multiclass = RidgeClassifier().fit(X, Y)
    expected = multiclass.decision_function(X).max(axis=1)
    assert_array_equal(id_confidence(multiclass, X), expected)
    binary = RidgeClassifier().fit(X, Y_BINARY)
    assert_array_equal(id_confidence(binary, X), np.abs(binary.decision_function(X)))


def test_decisions_of_an_outlier_detector():
    """Check that decisions of scikit-learn's outlier detectors keep their sign."""

    class Detector(OutlierMixin, BaseEstimator):
        def decision_function(self, X):
            return X[:, 0]

    assert_array_equal(id_confidence(Detector(), X), X[:, 0])


class _LikePyOD(BaseEstimator):
    """An outlier detector whose values are higher for outliers, as PyOD's are."""

    def fit(self, X, y=None):
        self.center_ = X.mean(axis=0)
        return self

    def decision_function(self, X):
        return np.linalg.norm(X - self.center_, axis=1)

    def predict_proba(self, X):
        outlier = 1 - np.exp(-self.decision_function(X))
        return np.c_[1 - outlier, outlier]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags


class _OnlyProbabilities(_LikePyOD):
    """The same without decision_function."""

    decision_function = property()

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("estimator", [_LikePyOD(), _OnlyProbabilities()])
@pytest.mark.parametrize("wrap", [lambda e: e, make_pipeline])
def test_values_of_unknown_direction_are_refused(estimator, wrap):
    """Check the error, before anything is fitted, and that its remedy works."""
    with pytest.raises(TypeError, match=r"score_samples\(X\) is higher for known"):
        OODDetector(wrap(estimator)).fit(X, Y)
    assert not hasattr(estimator, "center_")


def test_the_remedy_for_values_of_unknown_direction():
    """Check that a subclass with score_samples refuses rows that are far away."""

    class Turned(_LikePyOD):
        def score_samples(self, X):
            return -self.decision_function(X)

    detector = OODDetector(Turned(), target_tpr=0.8, random_state=0).fit(X)
    assert_array_equal(detector.predict(X[:5] + 1e3), [-1] * 5)


@pytest.mark.parametrize("method", sorted(LOGIT_SCORES))
def test_logit_methods_of_softmax_classifier(method):
    """Check that all methods see the logits of a multinomial logistic regression."""
    clf = LogisticRegression().fit(X, Y)
    expected = -score_logits(clf.decision_function(X), method)
    assert_allclose(id_confidence(clf, X, method), expected)


@pytest.mark.parametrize("method", sorted(LOGIT_SCORES))
def test_methods_treat_binary_classes_alike(method):
    """Check that naming the classes the other way round changes no confidence."""
    clf = LogisticRegression(tol=1e-10).fit(X, Y_BINARY)
    swapped = LogisticRegression(tol=1e-10).fit(X, 1 - Y_BINARY)
    swapped.coef_, swapped.intercept_ = -clf.coef_, -clf.intercept_
    confidence = id_confidence(clf, X, method)
    assert_allclose(id_confidence(swapped, X, method), confidence, rtol=1e-12)
    # And that it grows with the distance from the boundary.
    order = np.argsort(np.abs(clf.decision_function(X)))
    assert (np.diff(confidence[order]) >= 0).all()


@pytest.mark.parametrize(
    "estimator, method, needed",
    [
        (LinearSVC(), "msp", "predict_proba"),
        (RandomForestClassifier(2), "energy", "decision_function"),
        (GaussianMixture(), "margin", "predict_proba"),
        (IsolationForest(), "max_logit", "decision_function"),
    ],
)
def test_method_out_of_reach(estimator, method, needed):
    """Check that an estimator is refused by naming it, the method and what it lacks."""
    name = type(estimator).__name__
    message = f"method='{method}' needs a classifier with {needed}, which {name} is not"
    with pytest.raises(TypeError, match=message):
        check_method(estimator, method)
    with pytest.raises(TypeError, match=message):
        id_confidence(estimator.fit(X, Y), X, method)


@pytest.mark.parametrize("method", ["mps", 1, ["msp"]])
def test_unknown_method(method):
    """Check that an unknown method is refused by naming it and those there are."""
    with pytest.raises(ValueError, match=r"method=.* is not a score .*'energy'.*None"):
        id_confidence(LogisticRegression().fit(X, Y), X, method)


@pytest.mark.parametrize("estimator", [LinearRegression(), KMeans(2)])
def test_no_confidence(estimator):
    """Check that an estimator without any confidence is refused by name."""
    name = type(estimator).__name__
    with pytest.raises(TypeError, match=f"{name} gives no confidence.*predict_proba"):
        check_method(make_pipeline(StandardScaler(), estimator), None)


def test_nan_confidence():
    """Check that confidences of NaN are refused by their number."""
    clf = LogisticRegression().fit(X, Y)
    clf.intercept_[:] = np.nan
    with pytest.raises(ValueError, match="gives 60 of 60 samples a confidence of NaN"):
        id_confidence(clf, X)


def test_float64():
    """Check that confidences of float32 estimators come as float64."""
    confidence = id_confidence(Scorer().fit(X), X.astype(np.float32))
    assert confidence.dtype == np.float64
