# SPDX-License-Identifier: BSD-3-Clause
"""The numbers that the displays of scores draw."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import OODDetector, OpenSetClassifier
from confident_clf.plotting import RocDisplay, ScoreDisplay

plt.switch_backend("Agg")

X, Y = load_iris(return_X_y=True)
KNOWN = Y < 2
PARAMS = {"target_tpr": 0.8, "random_state": 0}
LOGISTIC = LogisticRegression()
ESTIMATORS = {
    "classifier": LOGISTIC,
    "detector": OODDetector(LOGISTIC, **PARAMS),
    "open set": OpenSetClassifier(LOGISTIC, **PARAMS),
    "per class": OODDetector(LOGISTIC, per_class=True, **PARAMS),
    "pipeline": make_pipeline(StandardScaler(), OODDetector(LOGISTIC, **PARAMS)),
}


@pytest.fixture(autouse=True)
def closed():
    """Close the figures of a test."""
    yield
    plt.close("all")


@pytest.fixture(params=ESTIMATORS)
def fitted(request):
    """Return an estimator fitted on two of three classes, and its confidences."""
    estimator = ESTIMATORS[request.param].fit(X[KNOWN], Y[KNOWN])
    if request.param == "classifier":
        return estimator, estimator.predict_proba(X).max(axis=1) - 1
    if request.param == "per class":
        return estimator, estimator.decision_function(X)
    return estimator, estimator.score_samples(X)


def test_bars(fitted):
    """Check the heights of the bars against NumPy's histograms."""
    estimator, confidence = fitted
    display = ScoreDisplay.from_estimator(estimator, X, Y, bins=7)
    edges = np.histogram_bin_edges(confidence, 7)
    for bars, rows in zip(display.bars_, [KNOWN, ~KNOWN], strict=True):
        shares = np.histogram(confidence[rows], edges)[0] / rows.sum()
        assert_allclose([bar.get_height() for bar in bars], shares, atol=1e-12)
        assert_allclose([bar.get_x() for bar in bars], edges[:-1])
    assert display.bars_[1].patches[0].get_hatch()  # told apart in grey


def test_line_at_the_threshold(fitted):
    """Check that exactly the samples that are accepted are right of the line."""
    estimator, confidence = fitted
    display = ScoreDisplay.from_estimator(estimator, X, Y)
    if estimator is LOGISTIC:
        assert display.threshold_line_ is None
        return
    x = display.threshold_line_.get_xdata()[0]
    accepted = np.isin(estimator.predict(X), [0, 1])
    if not isinstance(estimator, OpenSetClassifier):
        accepted = estimator.predict(X) == 1
    assert_array_equal(confidence >= x, accepted)


def test_roc(fitted):
    """Check the line and the legend against scikit-learn's curve and area."""
    estimator, confidence = fitted
    display = RocDisplay.from_estimator(estimator, X, Y)
    assert_allclose(display.line_.get_xydata().T, roc_curve(KNOWN, confidence)[:2])
    area = roc_auc_score(KNOWN, confidence)
    assert f"AUC = {area:.2f}" in display.ax_.get_legend().texts[0].get_text()


@pytest.mark.parametrize("display", [RocDisplay, ScoreDisplay])
def test_unknown_samples_by_themselves(display):
    """Check that X_ood is the same as rows with a label that is not a class."""
    estimator = LOGISTIC.fit(X[KNOWN], Y[KNOWN])
    ax = plt.subplots()[1]
    first = display.from_estimator(estimator, X[KNOWN], X_ood=X[~KNOWN], ax=ax)
    assert first.ax_ is ax and first.figure_ is ax.figure
    second = display.from_estimator(estimator, X, np.where(KNOWN, Y, -1))
    for name in vars(display.from_predictions([1, 0], [0.3, 0.1])).keys() & {
        "fpr",
        "tpr",
        "confidence_in",
        "confidence_out",
    }:
        assert_array_equal(getattr(first, name), getattr(second, name))


def test_known_samples_alone():
    """Check that histograms need no unknown samples, and that a curve says it does."""
    detector = OODDetector(GaussianMixture(random_state=0), **PARAMS).fit(X[KNOWN])
    assert len(ScoreDisplay.from_estimator(detector, X[KNOWN]).bars_) == 1
    with pytest.raises(ValueError, match="Pass unknown samples as X_ood"):
        RocDisplay.from_estimator(detector, X[KNOWN])


def test_properties_and_names():
    """Check that keywords reach the artists, and names the title and the legend."""
    roc = RocDisplay.from_predictions([1, 0], [0.9, 0.1], name="net", linestyle=":")
    assert roc.line_.get_linestyle() == ":"
    assert roc.ax_.get_legend().texts[0].get_text().startswith("net")
    scores = ScoreDisplay.from_predictions([1, 0], [0.9, 0.1], name="net", alpha=0.3)
    assert scores.ax_.get_title().startswith("net: ")
    assert scores.bars_[0].patches[0].get_alpha() == 0.3
