# SPDX-License-Identifier: BSD-3-Clause
"""The numbers that the displays of curves draw."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ecdf, norm
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import det_curve
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf.metrics import aurc, expected_calibration_error
from confident_clf.plotting import (
    DetDisplay,
    HistoryDisplay,
    PValueDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    RocDisplay,
    ScoreDisplay,
)

plt.switch_backend("Agg")

X, Y = load_iris(return_X_y=True)
X = X[:, :2]  # so that the classes overlap
KNOWN = Y < 2
PARAMS = {"target_tpr": 0.8, "random_state": 0}
LOGISTIC = LogisticRegression(C=0.01).fit(X, Y)
ESTIMATORS = {
    "classifier": LOGISTIC,
    "detector": OODDetector(LOGISTIC, **PARAMS),
    "open set": OpenSetClassifier(LOGISTIC, **PARAMS),
    "pipeline": make_pipeline(StandardScaler(), OODDetector(LOGISTIC, **PARAMS)),
}


@pytest.fixture(autouse=True)
def closed():
    """Close the figures of a test."""
    yield
    plt.close("all")


def classes_of(name, estimator):
    """Return what the classifier inside of an estimator predicts for X."""
    if name == "classifier":
        return estimator.predict(X)
    if name == "pipeline":
        scaler, detector = estimator
        return detector.estimator_.predict(scaler.transform(X))
    return estimator.estimator_.predict(X)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_risk_of_every_threshold(name):
    """Check the curve against the errors among the samples above each confidence."""
    estimator = clone(ESTIMATORS[name]).fit(X[KNOWN], Y[KNOWN])
    display = RiskCoverageDisplay.from_estimator(estimator, X, Y)
    right = classes_of(name, estimator) == Y
    assert 0 < right.sum() < KNOWN.sum()
    scorer = estimator.score_samples if name != "classifier" else None
    confidence = scorer(X) if scorer else estimator.predict_proba(X).max(axis=1)
    drawn = dict(display.line_.get_xydata())
    for value in np.unique(confidence):
        accepted = confidence >= value
        assert_allclose(drawn[accepted.mean()], 1 - right[accepted].mean(), atol=1e-12)
    area = aurc(right, confidence)
    assert_allclose(np.mean(display.line_.get_ydata()), area)
    assert f"AURC = {area:.3f}" in display.line_.get_label()
    order = aurc(np.sort(right)[::-1], -np.arange(len(X)))
    assert_allclose(display.best_line_.get_ydata().mean(), order, atol=1e-12)


def test_risk_of_unknown_samples_by_themselves():
    """Check that an unknown sample is an error whatever class it gets."""
    estimator = LogisticRegression().fit(X[KNOWN], Y[KNOWN])
    first = RiskCoverageDisplay.from_estimator(estimator, X, Y)
    second = RiskCoverageDisplay.from_estimator(
        estimator, X[KNOWN], Y[KNOWN], X_ood=X[~KNOWN]
    )
    assert_array_equal(first.risk, second.risk)


@pytest.mark.parametrize(
    "estimator", [LOGISTIC, OpenSetClassifier(LOGISTIC, **PARAMS).fit(X, Y)]
)
def test_reliability(estimator):
    """Check the bins against scikit-learn's curve of right predictions."""
    display = ReliabilityDisplay.from_estimator(estimator, X, Y, n_bins=6)
    inner = getattr(estimator, "estimator_", estimator)
    confidence = inner.predict_proba(X).max(axis=1)
    right = inner.predict(X) == Y
    accuracy, means = calibration_curve(right, confidence, n_bins=6)
    assert_allclose(display.line_.get_xydata(), np.c_[means, accuracy])
    assert_allclose(display.points_.get_offsets(), np.c_[means, accuracy])
    counts = np.histogram(confidence, 6, (0, 1))[0]
    counts = counts[counts > 0]
    areas = display.points_.get_sizes()
    assert_allclose(areas / areas.max(), counts / counts.max())
    error = expected_calibration_error(right, confidence, n_bins=6)
    assert_allclose(display.ece, error, atol=1e-12)
    assert f"ECE = {error:.3f}" in display.line_.get_label()


def test_two_diagrams_have_one_diagonal():
    """Check that a second diagram differs in marker, and adds no second diagonal."""
    first = ReliabilityDisplay.from_predictions([1, 0], [0.9, 0.2])
    second = ReliabilityDisplay.from_predictions([1, 0], [0.9, 0.2], ax=first.ax_)
    assert len(first.ax_.lines) == 3
    shapes = [d.points_.get_paths()[0].vertices for d in (first, second)]
    assert shapes[0].shape != shapes[1].shape


@pytest.mark.parametrize("display", [DetDisplay, RiskCoverageDisplay, RocDisplay])
def test_curves_on_the_same_axes_differ(display):
    """Check that six curves have six colors and, for those who see grey, six dashes."""
    ax = plt.subplots()[1]
    args = [1, 1, 0], [0.9, 0.4, 0.5]
    lines = [display.from_predictions(*args, name=i, ax=ax).line_ for i in range(6)]
    assert len({line.get_color() for line in lines}) == 6
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 6


def test_det():
    """Check the curve against scikit-learn's rates, on its axes of normal deviates."""
    estimator = OODDetector(GaussianMixture(random_state=0), **PARAMS).fit(X[KNOWN])
    display = DetDisplay.from_estimator(estimator, X[KNOWN], X_ood=X[~KNOWN])
    scores = np.r_[
        estimator.score_samples(X[KNOWN]), estimator.score_samples(X[~KNOWN])
    ]
    kinds = np.repeat([1, 0], [KNOWN.sum(), (~KNOWN).sum()])
    rates = np.transpose(det_curve(kinds, scores)[:2])
    inside = ((rates > 0) & (rates < 1)).all(axis=1)
    assert inside.sum() > 10
    assert_allclose(norm.cdf(display.line_.get_xydata()[inside]), rates[inside])
    with pytest.raises(ValueError, match="Pass unknown samples as X_ood"):
        DetDisplay.from_estimator(estimator, X[KNOWN])


@pytest.mark.parametrize("name", ["detector", "open set", "pipeline"])
def test_p_values(name):
    """Check the curves against SciPy's, and that the line is at what is refused."""
    estimator = clone(ESTIMATORS[name]).fit(X[KNOWN], Y[KNOWN])
    display = PValueDisplay.from_estimator(estimator, X, Y)
    if name == "pipeline":
        p_values = estimator[-1].p_value(estimator[0].transform(X))
    else:
        p_values = estimator.decide(X).p_value
    refused = ~np.isin(estimator.predict(X), [0, 1])
    if name != "open set":
        refused = estimator.predict(X) == -1
    line = display.threshold_line_.get_xdata()[0]
    assert_allclose(line, 0.2)
    for curve, rows in zip(display.lines_, [KNOWN, ~KNOWN], strict=True):
        exact = ecdf(p_values[rows]).cdf
        x, y = curve.get_xydata()[1:].T
        # Of equal p-values, each is a step; the curve is the highest of them.
        y = np.array([y[x == value].max() for value in x])
        assert_allclose(y, exact.evaluate(x))
        at_line = np.max(y[x <= line + 1e-12], initial=0)
        assert_allclose(at_line, refused[rows].mean())


def test_p_values_that_are_not():
    """Check that confidences are not taken for p-values, and a classifier refused."""
    with pytest.raises(ValueError, match=r"p_values must be in \[0, 1\].*2\.0"):
        PValueDisplay.from_predictions([1, 0], [2.0, 0.5])
    with pytest.raises(TypeError, match=r"needs an OODDetector.*LogisticRegression"):
        PValueDisplay.from_estimator(LOGISTIC, X)
    assert len(PValueDisplay.from_predictions([1, 1], [1.0, 0.5]).lines_) == 1


@pytest.mark.parametrize("display", [ReliabilityDisplay, RiskCoverageDisplay])
def test_labels_and_classes_are_needed(display):
    """Check the errors without labels, and without a classifier."""
    with pytest.raises(ValueError, match="y is None"):
        display.from_estimator(LOGISTIC, X, None)
    mixture = GaussianMixture().fit(X)
    with pytest.raises(TypeError, match="GaussianMixture is not"):
        display.from_estimator(mixture, X, Y)


@pytest.fixture(scope="module")
def joint():
    """Return a classifier that has all players, in a pipeline."""
    clf = ConfidentClassifier(
        hidden=8, ood_source="joint", max_epochs=3, early_stopping=True, random_state=0
    )
    return make_pipeline(StandardScaler(), clf).fit(X, Y)


def test_history(joint):
    """Check every curve against the history, and that the parts have names."""
    display = HistoryDisplay.from_estimator(joint)
    players = {"classifier", "generator", "discriminator", "validation"}
    texts = {text.get_text() for text in display.ax_.get_legend().texts}
    assert players < texts
    history = joint[-1].history_
    for key, line in display.lines_.items():
        assert_array_equal(line.get_xdata(), [1, 2, 3])
        assert_array_equal(line.get_ydata(), history[:, key])
    assert {"kl", "generator_loss"} < display.lines_.keys()


def test_history_of_other_keys():
    """Check keys by name, epochs that lack one, and a single epoch."""
    rows = [{"acc": 0.5}, {"acc": 0.6, "kl": 0.1}]
    display = HistoryDisplay.from_history(rows, keys=["kl", "acc"])
    assert_array_equal(display.lines_["kl"].get_ydata(), [np.nan, 0.1])
    assert_array_equal(display.lines_["acc"].get_xdata(), [1, 2])
    single = HistoryDisplay.from_history(rows[1:])
    assert single.lines_["kl"].get_marker() == "o"


def test_history_that_is_not_there():
    """Check the errors: no epochs, a wrong key, no history."""
    with pytest.raises(ValueError, match="has no epochs"):
        HistoryDisplay.from_history([])
    with pytest.raises(ValueError, match=r"keys=\['los'\].*\['kl'\]"):
        HistoryDisplay.from_history([{"kl": 1.0}], keys=["los"])
    with pytest.raises(TypeError, match="LogisticRegression has no history_"):
        HistoryDisplay.from_estimator(LOGISTIC)


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_lines_are_seen_on_any_background(style):
    """Check that no line has nearly the color of what is behind it."""
    with plt.style.context(style):
        displays = [
            PValueDisplay.from_predictions([1, 0], [0.9, 0.1], threshold=0.5),
            ScoreDisplay.from_predictions([1, 0], [0.9, 0.1], threshold=0.5),
            ReliabilityDisplay.from_predictions([1, 0], [0.9, 0.1]),
            RiskCoverageDisplay.from_predictions([1, 0], [0.9, 0.1]),
        ]
    for display in displays:
        behind = plt.matplotlib.colors.to_rgb(display.ax_.get_facecolor())
        for line in display.ax_.lines:
            color = plt.matplotlib.colors.to_rgb(line.get_color())
            assert np.abs(np.subtract(color, behind)).max() > 0.3
