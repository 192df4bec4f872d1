# SPDX-License-Identifier: BSD-3-Clause
"""The score of an estimator that is hidden in pipelines, searches and frozen ones."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier, OODDetector, ood_score

X, Y = load_iris(return_X_y=True)
CLF = ConfidentClassifier(max_epochs=1, random_state=0, method="knn")
SCALER = StandardScaler().fit(X)
SCALED = SCALER.transform(X)
FITTED = CLF.fit(SCALED, Y)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(SCALER, FITTED),
        Pipeline([("nothing", "passthrough"), ("scale", SCALER), ("clf", FITTED)]),
        make_pipeline(make_pipeline(SCALER), make_pipeline(FITTED)),
        FrozenEstimator(make_pipeline(SCALER, FITTED)),
    ],
    ids=["pipeline", "passthrough", "nested", "frozen"],
)
@pytest.mark.parametrize("method", [None, "knn", "msp"])
def test_pipelines(estimator, method):
    """Check the score of the last step on what the steps before it make."""
    expected = FITTED.ood_score(SCALED, method=method)
    assert_array_equal(ood_score(estimator, X, method), expected)
    if method is None and not isinstance(estimator, FrozenEstimator):
        # The method that pipelines do pass on is its negative.
        assert_array_equal(-estimator.score_samples(X), expected)


def test_a_search():
    """Check that the best estimator of a search scores."""
    pipe = make_pipeline(StandardScaler(), ConfidentClassifier(max_epochs=1))
    grid = {"confidentclassifier__hidden": [4, 8]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, Y)
    scaler, clf = search.best_estimator_
    assert_array_equal(ood_score(search, X), clf.ood_score(scaler.transform(X)))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (
            LogisticRegression(max_iter=1000),
            lambda e: 1 - e.predict_proba(X).max(axis=1),
        ),
        (GaussianMixture(random_state=0), lambda e: -e.score_samples(X)),
        (IsolationForest(random_state=0), lambda e: -e.score_samples(X)),
        (
            OODDetector(LogisticRegression(max_iter=1000), random_state=0),
            lambda e: 1 - e.estimator_.predict_proba(X).max(axis=1),
        ),
    ],
    ids=["classifier", "density", "outliers", "detector"],
)
def test_any_estimator(estimator, expected):
    """Check that every estimator has a score, higher where it is less sure."""
    estimator.fit(X, Y)
    np.testing.assert_allclose(ood_score(estimator, X), expected(estimator), atol=1e-12)


@pytest.mark.parametrize(
    ("estimator", "method", "error", "message"),
    [
        (make_pipeline(StandardScaler(), CLF), "nonsense", ValueError, "nonsense"),
        (ConfidentClassifier(), None, NotFittedError, "not fitted"),
        (make_pipeline(StandardScaler()), None, NotFittedError, "not fitted"),
        (SCALER, None, TypeError, "StandardScaler gives no confidence"),
        (RandomForestClassifier(2).fit(X, Y), "knn", ValueError, "needs the network"),
    ],
    ids=["method", "not fitted", "pipeline", "no score", "no network"],
)
def test_refused(estimator, method, error, message):
    """Check that what has no score is refused by name."""
    if method == "nonsense":
        estimator.fit(X, Y)
    with pytest.raises(error, match=message):
        ood_score(estimator, X, method)
