# SPDX-License-Identifier: BSD-3-Clause
"""Inside scikit-learn's pipelines, searches and tables."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from confident_clf import (
    ConfidentClassifier,
    OODDetector,
    auroc_scorer,
    id_accuracy_scorer,
    make_ood_scorer,
    tnr_scorer,
)

fast = partial(ConfidentClassifier, lr=0.01, max_epochs=10, random_state=0)


@pytest.fixture(scope="module")
def digits():
    """8x8 digits, 0 to 4 known, as rows, labels, and rows of the unknown 5 to 9."""
    X, y = load_digits(return_X_y=True)
    return X[y < 5][:300], y[y < 5][:300], X[y >= 5][:100]


@pytest.fixture(scope="module")
def iris():
    """Iris as a table."""
    return load_iris(as_frame=True, return_X_y=True)


@pytest.mark.parametrize(
    "steps",
    [
        [StandardScaler(), fast(image_shape=(1, 8, 8), lr=1e-3)],
        [MinMaxScaler(), fast(image_shape=(1, 8, 8), lr=1e-3)],
        [StandardScaler(), PCA(20, random_state=0), fast()],
    ],
    ids=["standard-images", "minmax-images", "pca-rows"],
)
def test_pipelines(digits, steps):
    """Check accuracy and scores behind scalers and PCA."""
    X, y, unknown = digits
    pipe = make_pipeline(*steps).fit(X[::2], y[::2])
    assert pipe.score(X[1::2], y[1::2]) > 0.9
    assert pipe.predict_proba(X).shape == (300, 5)
    assert pipe.score_samples(X).mean() > pipe.score_samples(unknown).mean() + 0.05


def test_column_transformer(iris):
    """Check a table of numbers and strings through a ColumnTransformer."""
    X, y = iris
    X = X.assign(size=np.where(X["petal length (cm)"] > 3, "large", "small"))
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), X.columns[:4]),
            ("names", OneHotEncoder(sparse_output=False), ["size"]),
        ]
    )
    pipe = make_pipeline(columns, fast()).fit(X, y)
    assert pipe.score(X, y) > 0.9
    # The classifier as one branch of a ColumnTransformer, through the detector.
    detector = OODDetector(fast(), target_tpr=0.9, random_state=0)
    branches = ColumnTransformer(
        [("known", detector, list(X.columns[:4]))], remainder="drop"
    )
    known = detector.fit(X[X.columns[:4]], y).predict(X[X.columns[:4]]) == 1
    np.testing.assert_array_equal(branches.fit_transform(X, y)[:, 0], known)


def test_tables_in_and_out(iris):
    """Check feature names, their order, and set_output of the detector."""
    X, y = iris
    clf = fast().fit(X, y)
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(X[X.columns[::-1]])
    detector = OODDetector(fast(), target_tpr=0.9, random_state=0)
    table = detector.set_output(transform="pandas").fit(X, y).transform(X)
    assert isinstance(table, pd.DataFrame)
    assert table.columns.tolist() == ["ooddetector0"]
    assert table.index.equals(X.index)
    assert set(table["ooddetector0"]) == {0.0, 1.0}
    union = FeatureUnion([("known", detector), ("pca", PCA(2))])
    union.set_output(transform="pandas")
    both = union.fit_transform(X, y)
    assert both.shape == (150, 3)
    assert both.iloc[:, 0].tolist() == (detector.predict(X) == 1).tolist()


def test_grid_search_over_beta_with_several_scorers(digits):
    """Check that two jobs with four scorers give the bits that one job gives."""
    X, y, unknown = digits
    scoring = {
        "accuracy": "accuracy",
        "auroc": make_ood_scorer("auroc", X_ood=unknown),
        "tnr": make_ood_scorer("tnr_at_tpr", X_ood=unknown, tpr=0.9),
        "energy": make_ood_scorer("auroc", X_ood=unknown, method="energy"),
    }
    results = []
    for n_jobs in (2, 1):
        search = GridSearchCV(
            fast(image_shape=(1, 8, 8), lr=1e-3, max_epochs=3),
            {"beta": [0.0, 1.0]},
            scoring=scoring,
            refit="auroc",
            cv=2,
            n_jobs=n_jobs,
        ).fit(X, y)
        results.append(search.cv_results_)
    for name in scoring:
        column = f"mean_test_{name}"
        assert np.isfinite(results[0][column]).all()
        np.testing.assert_array_equal(results[0][column], results[1][column])
    best = np.argmax(results[1]["mean_test_auroc"])
    assert search.best_params_ == results[1]["params"][best]
    np.testing.assert_array_equal(
        search.score_samples(X), search.best_estimator_.score_samples(X)
    )


def test_search_with_ood_labels(digits):
    """Check the ready-made scorers where rows of y are labelled unknown."""
    X, y, unknown = digits
    X_all, y_all = np.r_[X, unknown], np.r_[y, np.full(100, -1)]
    result = cross_validate(
        make_pipeline(
            StandardScaler(), fast(ood_source="explicit", ood_label=-1, beta=1.0)
        ),
        X_all,
        y_all,
        cv=2,
        scoring={"auroc": auroc_scorer, "tnr": tnr_scorer, "acc": id_accuracy_scorer},
    )
    assert (result["test_auroc"] > 0.9).all()
    assert (result["test_acc"] > 0.8).all()
    assert (result["test_tnr"] > 0.5).all()


def test_search_inside_a_pipeline(digits):
    """Check nested parameters of pipeline, classifier and source."""
    X, y, unknown = digits
    pipe = make_pipeline(MinMaxScaler(), fast(max_epochs=2))
    search = GridSearchCV(
        pipe,
        {"confidentclassifier__beta": [0.1, 1.0]},
        scoring=make_ood_scorer("auroc", X_ood=unknown),
        cv=2,
    ).fit(X, y)
    assert search.best_score_ > 0.5


def test_x_ood_reaches_fit_with_and_without_routing(digits):
    """Check fit parameters through a Pipeline, and metadata routing through both."""
    X, y, unknown = digits
    explicit = partial(fast, ood_source="explicit", max_epochs=2)
    expected = explicit().fit(X, y, X_ood=unknown).decision_function(X)
    pipe = make_pipeline("passthrough", explicit())
    pipe.fit(X, y, confidentclassifier__X_ood=unknown)
    np.testing.assert_array_equal(pipe.decision_function(X), expected)
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline("passthrough", explicit().set_fit_request(X_ood=True))
        pipe.fit(X, y, X_ood=unknown)
    np.testing.assert_array_equal(pipe.decision_function(X), expected)


def test_cross_val_predict(iris):
    """Check out-of-fold probabilities."""
    X, y = iris
    p = cross_val_predict(
        make_pipeline(StandardScaler(), fast(max_epochs=20)),
        X,
        y,
        cv=3,
        method="predict_proba",
    )
    assert accuracy_score(y, p.argmax(axis=1)) > 0.9
