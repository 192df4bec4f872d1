# SPDX-License-Identifier: BSD-3-Clause
"""How X_ood gets to a classifier inside of pipelines, searches and detectors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf.metrics import make_ood_scorer
from confident_clf.model_selection import LeaveClassesOut

X, Y = make_blobs(120, centers=3, random_state=0)
X = 10 * X + 50
X_OOD = np.random.default_rng(0).uniform(-50, 150, size=(70, 2))
SCORER = make_ood_scorer(X_ood=X_OOD[:20])


class Nearest(ClassifierMixin, BaseEstimator):
    """Classifier by the nearest mean, among which is that of the OOD rows."""

    def __init__(self, power=1.0):
        self.power = power

    def fit(self, X, y, X_ood=None):
        """Keep the means, and what was passed."""
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == label].mean(axis=0) for label in self.classes_])
        self.X_ood_ = X_ood
        return self

    def predict(self, X):
        """Return the class of the nearest mean."""
        return self.classes_[self._distances(X).argmin(axis=1)]

    def score_samples(self, X):
        """Return minus the distance to the nearest mean."""
        return -(self._distances(X).min(axis=1) ** self.power)

    def _distances(self, X):
        """Return the distance to each mean."""
        return np.linalg.norm(X[:, None] - self.means_, axis=2)


def pipeline(clf, **kwargs):
    """Return a pipeline that scales first."""
    return Pipeline([("scale", StandardScaler()), ("clf", clf)], **kwargs)


def scaled(X_train):
    """Return the OOD rows as scaled by these training rows."""
    return (X_OOD - X_train.mean(axis=0)) / X_train.std(axis=0)


@pytest.fixture
def routing():
    """Turn metadata routing on."""
    with config_context(enable_metadata_routing=True):
        yield


def routed():
    """Return a pipeline that transforms X_ood too, on its way to the classifier."""
    return pipeline(Nearest().set_fit_request(X_ood=True), transform_input=["X_ood"])


def test_pipeline_routing_on(routing):
    """Check that a pipeline transforms X_ood by the steps before the classifier."""
    pipe = routed().fit(X, Y, X_ood=X_OOD)
    assert_allclose(pipe["clf"].X_ood_, scaled(X))
    plain = pipeline(Nearest().set_fit_request(X_ood=True)).fit(X, Y, X_ood=X_OOD)
    assert_array_equal(plain["clf"].X_ood_, X_OOD)


def test_pipeline_routing_off():
    """Check that without routing X_ood goes past the steps before the classifier."""
    pipe = pipeline(Nearest()).fit(X, Y, clf__X_ood=X_OOD)
    assert_array_equal(pipe["clf"].X_ood_, X_OOD)


def test_unset_request(routing):
    """Check that X_ood without a request is refused, not ignored."""
    with pytest.raises(UnsetMetadataPassedError, match="X_ood"):
        pipeline(Nearest()).fit(X, Y, X_ood=X_OOD)


def test_search_routing_on(routing):
    """Check that a search passes X_ood on whole, and the pipeline transforms it."""
    search = GridSearchCV(
        routed(), {"clf__power": [1.0, 2.0]}, scoring=SCORER, cv=2, error_score="raise"
    ).fit(X, Y, X_ood=X_OOD)
    assert_allclose(search.best_estimator_["clf"].X_ood_, scaled(X))
    fits = cross_validate(
        routed(),
        X,
        Y,
        cv=LeaveClassesOut(random_state=0),
        scoring=SCORER,
        params={"X_ood": X_OOD},
        return_estimator=True,
        return_indices=True,
    )
    for fit, train in zip(fits["estimator"], fits["indices"]["train"], strict=True):
        assert_allclose(fit["clf"].X_ood_, scaled(X[train]))


def test_search_routing_off():
    """Check that a search passes X_ood on under the name of the step."""
    search = GridSearchCV(
        pipeline(Nearest()), {"clf__power": [1.0]}, scoring=SCORER, cv=2
    )
    search.fit(X, Y, clf__X_ood=X_OOD)
    assert_array_equal(search.best_estimator_["clf"].X_ood_, X_OOD)


def test_as_many_ood_rows_as_rows():
    """Check that scikit-learn's searches split X_ood of the length of X, as documented.

    That is theirs to do: they cannot know that it is no column beside X. Detectors here
    know the name and never split it.
    """
    seen = []

    class Spy(Nearest):
        def fit(self, X, y, X_ood=None):
            seen.append(len(X_ood))
            return super().fit(X, y, X_ood)

    search = GridSearchCV(Spy(), {"power": [1.0]}, scoring=SCORER, cv=2)
    search.fit(X, Y, X_ood=X)
    assert seen == [60, 60, 120]
    seen.clear()
    OODDetector(Spy(), cv=3).fit(X, Y, X_ood=X)
    assert seen == [120] * 4


@pytest.mark.parametrize("wrapper", [OODDetector, OpenSetClassifier])
def test_wrappers_routing_on(wrapper, routing):
    """Check that both wrappers pass X_ood to a pipeline, and a search to them."""
    fitted = wrapper(routed(), random_state=0).fit(X, Y, X_ood=X_OOD)
    seen = fitted.estimator_["clf"].X_ood_
    assert seen.shape == X_OOD.shape and abs(seen).max() < 15 < abs(X_OOD).max()
    search = GridSearchCV(
        wrapper(routed(), cv=5), {"target_tpr": [0.5, 0.9]}, scoring=SCORER, cv=2
    ).fit(X, Y, X_ood=X_OOD)
    assert_allclose(search.best_estimator_.estimator_["clf"].X_ood_, scaled(X))
    with pytest.raises(UnsetMetadataPassedError, match="X_ood"):
        wrapper(pipeline(Nearest())).fit(X, Y, X_ood=X_OOD)


@pytest.mark.parametrize("wrapper", [OODDetector, OpenSetClassifier])
def test_wrappers_routing_off(wrapper):
    """Check that both wrappers pass on parameters of a step, and a search to them."""
    pipe = pipeline(Nearest())
    fitted = wrapper(pipe, random_state=0).fit(X, Y, clf__X_ood=X_OOD)
    assert_array_equal(fitted.estimator_["clf"].X_ood_, X_OOD)
    search = GridSearchCV(
        wrapper(pipe, cv=5), {"target_tpr": [0.5, 0.9]}, scoring=SCORER, cv=2
    ).fit(X, Y, clf__X_ood=X_OOD)
    assert_array_equal(search.best_estimator_.estimator_["clf"].X_ood_, X_OOD)


def explicit():
    """Return a fast classifier that learns from X_ood."""
    return ConfidentClassifier(
        ood_source="explicit", beta=1.0, lr=0.01, max_epochs=30, random_state=0
    )


def test_confident_classifier_routing_on(routing):
    """Check that X_ood makes a ConfidentClassifier in a searched pipeline unsure."""
    clf = explicit().set_fit_request(X_ood=True)
    pipe = pipeline(clf, transform_input=["X_ood"])
    search = GridSearchCV(pipe, {"clf__beta": [0.0, 1.0]}, scoring=SCORER, cv=2)
    search.fit(X, Y, X_ood=X_OOD[20:])
    assert search.best_params_ == {"clf__beta": 1.0}
    alone = explicit().fit(
        StandardScaler().fit(X).transform(X),
        Y,
        X_ood=StandardScaler().fit(X).transform(X_OOD[20:]),
    )
    rows = search.best_estimator_["scale"].transform(X)
    assert_array_equal(
        search.best_estimator_["clf"].ood_score(rows), alone.ood_score(rows)
    )


def test_confident_classifier_routing_off():
    """Check that X_ood of a ConfidentClassifier is then in the units of its step."""
    ood = StandardScaler().fit(X).transform(X_OOD[20:])
    pipe = pipeline(explicit()).fit(X, Y, clf__X_ood=ood)
    alone = explicit().fit(StandardScaler().fit(X).transform(X), Y, X_ood=ood)
    assert_array_equal(pipe["clf"].ood_score(ood), alone.ood_score(ood))
