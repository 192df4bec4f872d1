# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's plots of detectors and open-set classifiers, without a screen."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.inspection import DecisionBoundaryDisplay, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    average_precision_score,
    confusion_matrix,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import LearningCurveDisplay, ValidationCurveDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf.metrics import auroc, make_ood_scorer

plt.switch_backend("Agg")

X, Y = load_iris(return_X_y=True)
X = X[:, 2:]
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
IS_KNOWN = Y < 2
DETECTOR = OODDetector(LogisticRegression(), random_state=0).fit(
    X[IS_KNOWN], Y[IS_KNOWN]
)


@pytest.fixture(autouse=True)
def closed():
    """Close the figures of a test."""
    yield
    plt.close("all")


def open_set(labels, **params):
    """Return a fitted open-set classifier of these labels."""
    return OpenSetClassifier(LogisticRegression(), random_state=0, **params).fit(
        X, labels
    )


draws_more_classes = pytest.mark.xfail(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    raises=ValueError,
    strict=False,  # two classes are drawn
    reason="DecisionBoundaryDisplay draws more than two classes from 1.7 on",
)
RESPONSES = ["auto", "predict", pytest.param("predict_proba", marks=draws_more_classes)]


@draws_more_classes
@pytest.mark.parametrize(
    "estimator",
    [
        open_set(Y),
        open_set(NAMES, unknown_label="?"),
        open_set(Y + 1, unknown_label=99, per_class=True, target_tpr=0.8),
    ],
    ids=["ints", "strings", "per class"],
)
def test_boundary_of_answers(estimator):
    """Check the recipe: colors of the classes, and gray where none is the answer."""
    classes = DecisionBoundaryDisplay.from_estimator(
        estimator.estimator_, X, response_method="predict", grid_resolution=9
    )
    refused = DecisionBoundaryDisplay.from_estimator(
        estimator.detector_,
        X,
        ax=classes.ax_,
        levels=[-np.inf, 0],
        colors="gray",
        grid_resolution=9,
    )
    grid = np.c_[refused.xx0.ravel(), refused.xx1.ravel()]
    answers = estimator.classes_[classes.response.ravel().astype(int)]
    is_gray = refused.response.ravel() < 0
    unknown = np.array([estimator.unknown_label])
    assert_array_equal(np.where(is_gray, unknown, answers), estimator.predict(grid))
    assert 0 < is_gray.mean() < 1
    assert refused.surface_.levels.tolist() == [-np.inf, 0]


@draws_more_classes
@pytest.mark.parametrize("as_frame", [False, True])
def test_boundary_of_decisions(as_frame):
    """Check that the contour at 0 is the border of what a detector accepts."""
    names = ["length", "width"]
    rows = pd.DataFrame(X, columns=names) if as_frame else X
    detector = OODDetector(LogisticRegression(), random_state=0).fit(rows, Y)
    display = DecisionBoundaryDisplay.from_estimator(
        detector, rows, plot_method="contour", levels=[0], grid_resolution=12
    )
    grid = np.c_[display.xx0.ravel(), display.xx1.ravel()]
    grid = pd.DataFrame(grid, columns=names) if as_frame else grid
    accepted = detector.predict(grid) == 1
    assert_array_equal(display.response.ravel() >= 0, accepted)
    assert 0 < accepted.mean() < 1
    assert display.surface_.levels.tolist() == [0]


@pytest.mark.parametrize("response_method", RESPONSES)
@pytest.mark.parametrize("labels", [Y, NAMES, IS_KNOWN], ids=["int", "str", "bool"])
def test_boundary_of_classes(response_method, labels):
    """Check the boundaries of a classifier, whose answers are all classes."""
    clf = ConfidentClassifier(max_epochs=1, random_state=0).fit(X, labels)
    display = DecisionBoundaryDisplay.from_estimator(
        clf, X, response_method=response_method, grid_resolution=5
    )
    assert display.response.shape[:2] == (5, 5)


@pytest.mark.parametrize(
    "estimator",
    [
        DETECTOR,
        OODDetector(GaussianMixture(random_state=0), random_state=0).fit(X[IS_KNOWN]),
        open_set(Y),
        ConfidentClassifier(max_epochs=1, random_state=0).fit(X, Y),
        make_pipeline(
            StandardScaler(), ConfidentClassifier(max_epochs=1, random_state=0)
        ).fit(X, Y),
    ],
    ids=["detector", "density", "open set", "classifier", "pipeline"],
)
def test_curves(estimator):
    """Check the curves of known against unknown, by the recipe."""
    confidence = estimator.score_samples(X)
    roc = RocCurveDisplay.from_predictions(IS_KNOWN, confidence)
    assert_allclose(roc.roc_auc, auroc(IS_KNOWN, confidence))
    precision = PrecisionRecallDisplay.from_predictions(IS_KNOWN, confidence)
    assert_allclose(
        precision.average_precision, average_precision_score(IS_KNOWN, confidence)
    )
    det = DetCurveDisplay.from_predictions(IS_KNOWN, confidence)
    assert det.fpr.max() <= 1 and np.all(np.diff(det.fpr) <= 0)


@pytest.mark.parametrize(
    "estimator",
    [
        open_set(Y[IS_KNOWN].repeat(2)[:150]),
        ConfidentClassifier(max_epochs=1, random_state=0).fit(X, IS_KNOWN),
    ],
    ids=["open set", "classifier"],
)
def test_curves_of_two_classes(estimator):
    """Check that the curves of one class against the other need no recipe."""
    display = RocCurveDisplay.from_estimator(estimator, X, IS_KNOWN)
    if display.roc_auc is not None:
        probability = estimator.predict_proba(X)[:, 1]
        assert_allclose(display.roc_auc, auroc(IS_KNOWN, probability))


@pytest.mark.parametrize("unknown", [-1, 7, "unknown"])
def test_confusion_of_an_open_set(unknown):
    """Check that unknown is one more row and column, without a recipe."""
    labels = NAMES if isinstance(unknown, str) else Y
    y_true = np.where(IS_KNOWN, labels, unknown)
    clf = OpenSetClassifier(
        LogisticRegression(), unknown_label=unknown, target_tpr=0.5, random_state=0
    ).fit(X[IS_KNOWN], labels[IS_KNOWN])
    display = ConfusionMatrixDisplay.from_estimator(clf, X, y_true)
    rows = [(y_true == t) for t in np.unique(y_true)]
    columns = [(clf.predict(X) == p) for p in np.unique(y_true)]
    expected = [[int((row & column).sum()) for column in columns] for row in rows]
    assert display.confusion_matrix.tolist() == expected
    assert unknown in display.display_labels.tolist()


def test_confusion_of_a_detector():
    """Check the recipe: known and unknown as predictions."""
    y_true = np.where(IS_KNOWN, 1, -1)
    answers = DETECTOR.predict(X)
    display = ConfusionMatrixDisplay.from_predictions(y_true, answers)
    expected = [
        [int(((y_true == t) & (answers == p)).sum()) for p in (-1, 1)] for t in (-1, 1)
    ]
    assert display.confusion_matrix.tolist() == expected
    assert_array_equal(display.confusion_matrix, confusion_matrix(y_true, answers))


PERMUTED = {"X_ood": "permuted"}


@pytest.mark.parametrize(
    ("scorer", "negate", "label"),
    [
        (make_ood_scorer("auroc", **PERMUTED), False, "Auroc"),
        (make_ood_scorer("fpr_at_tpr", **PERMUTED), False, "Negative fpr at tpr"),
        (make_ood_scorer("fpr_at_tpr", **PERMUTED), True, "Fpr at tpr"),
        (make_ood_scorer(auroc, X_ood="uniform"), False, "Auroc"),
        (make_ood_scorer(partial(auroc), X_ood="uniform"), False, "Score"),
    ],
    ids=["metric", "negated", "negated back", "function", "partial"],
)
@pytest.mark.parametrize("kind", ["learning", "validation"])
def test_curves_of_scores(kind, scorer, negate, label):
    """Check that learning and validation curves of a scorer name what they show."""
    shuffled = np.random.default_rng(0).permutation(len(X))
    rows, labels = X[shuffled], Y[shuffled]
    options = {"cv": 3, "scoring": scorer, "negate_score": negate}
    detector = OODDetector(LogisticRegression(), target_tpr=0.5, random_state=0)
    if kind == "learning":
        display = LearningCurveDisplay.from_estimator(
            detector, rows, labels, train_sizes=[0.5, 1.0], **options
        )
    else:
        display = ValidationCurveDisplay.from_estimator(
            detector, rows, labels, param_name="cv", param_range=[0.2, 0.4], **options
        )
    assert display.ax_.get_ylabel() == label
    is_negative = label.startswith("Negative")
    assert np.sign(display.ax_.lines[-1].get_ydata()).mean() == (
        -1 if is_negative else 1
    )


def test_importance_of_features():
    """Check that permuting a feature that decides costs more than one that does not."""
    rows = np.c_[X[:, 0], np.random.default_rng(0).normal(size=len(X))]
    detector = OODDetector(
        GaussianMixture(random_state=0), target_tpr=0.8, random_state=0
    )
    result = permutation_importance(
        detector.fit(rows[Y == 0]),
        rows,
        np.where(Y == 0, 1, -1),
        scoring=lambda estimator, X, y: auroc(y == 1, estimator.score_samples(X)),
        random_state=0,
    )
    assert result.importances_mean[0] > 0.3 > abs(result.importances_mean[1])
