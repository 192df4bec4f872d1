# SPDX-License-Identifier: BSD-3-Clause
"""The images, frames and maps that displays draw."""

import sys
from inspect import signature

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, SplineTransformer, StandardScaler

from confident_clf import (
    ConfidentClassifier,
    Decisions,
    OODDetector,
    OpenSetClassifier,
    plotting,
)
from confident_clf.datasets import load_digits_ood, make_ood_blobs
from confident_clf.plotting import (
    ConfidenceMapDisplay,
    DecisionsDisplay,
    SamplesDisplay,
)

plt.switch_backend("Agg")

BLOBS = make_ood_blobs(300, random_state=0)
X, Y = BLOBS.X_train, BLOBS.y_train
DIGITS = load_digits_ood(random_state=0)
RNG = np.random.default_rng(0)
GREY = RNG.random((7, 1, 4, 6))
COLOR = RNG.random((7, 3, 4, 6))


@pytest.fixture(autouse=True)
def closed():
    """Close the figures of a test."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def digits():
    """Return a detector of digits that are rows of 64 numbers."""
    clf = ConfidentClassifier(
        image_shape=(1, 8, 8), ood_source="noise", max_epochs=2, random_state=0
    )
    detector = OODDetector(clf, target_tpr=0.8, random_state=0)
    return detector.fit(DIGITS.X_train, DIGITS.y_train)


@pytest.fixture(scope="module")
def plane():
    """Return a pipeline of points in the plane, in units far from 1."""
    clf = ConfidentClassifier(
        hidden=8, ood_source="noise", max_epochs=2, random_state=0
    )
    return make_pipeline(StandardScaler(), clf).fit(1000 * X, Y)


@pytest.mark.parametrize(
    ("images", "drawn"),
    [
        (GREY, GREY[:, 0]),
        (GREY.astype(np.float32), GREY[:, 0].astype(np.float32)),
        (COLOR, np.moveaxis(COLOR, 1, 3)),
        (np.uint8(255 * COLOR), np.uint8(255 * np.moveaxis(COLOR, 1, 3))),
        (8 * GREY - 4, (GREY[:, 0] - GREY.min()) / np.ptp(GREY)),
        (np.full((2, 1, 4, 6), 7), np.zeros((2, 4, 6))),
    ],
    ids=["grey", "float32", "color", "uint8", "any range", "constant"],
)
def test_sheet(images, drawn):
    """Check the arrays that are drawn, and that brightness means the same in all."""
    before = images.copy()
    display = SamplesDisplay.from_samples(images)
    assert_array_equal(images, before)
    for image, expected in zip(display.images_, drawn, strict=True):
        assert_allclose(image.get_array(), expected, atol=1e-12)
        if drawn.ndim == 3:
            assert image.get_clim() == (0, 255 if drawn.dtype == np.uint8 else 1)


def test_places_on_a_sheet():
    """Check that images are in rows, do not overlap, and are all within the axes."""
    display = SamplesDisplay.from_samples(GREY, n_columns=3)
    places = np.array([image.get_extent() for image in display.images_])
    assert_allclose(places[:, 1] - places[:, 0], 6 / 4)
    assert_allclose(places[:, 3] - places[:, 2], 1)
    assert (places[1:3, 0] > places[:2, 1]).all()
    assert_allclose(places[[0, 3, 6], 0], 0)
    assert (places[[3, 6], 3] < places[[0, 3], 2]).all()
    x, y = display.ax_.get_xlim(), display.ax_.get_ylim()
    assert x[0] < places[:, 0].min() and x[1] > places[:, 1].max()
    assert y[0] < places[:, 2].min() and y[1] > places[:, 3].max()


def test_samples_of_a_source(digits):
    """Check that the images of the source are drawn, also of rows."""
    display = SamplesDisplay.from_estimator(digits, 5, cmap="gray_r")
    samples = digits.estimator_.sample_ood(5).reshape(5, 8, 8)
    drawn = [image.get_array() for image in display.images_]
    assert_allclose(np.array(drawn), samples)
    assert display.images_[0].get_cmap().name == "gray_r"


BAD_IMAGES = {
    "table": (RNG.random((5, 8)), "use|ConfidenceMapDisplay"),
    "channels last": (np.moveaxis(COLOR, 1, 3), r"transpose\(0, 3, 1, 2\)"),
    "no channel": (GREY[:, 0], r"images\[:, None\]"),
    "two channels": (COLOR[:, :2], r"X\[:, :1\]"),
    "none": (GREY[:0], "at least one image"),
    "names of files": (np.array(["a.png", "b.png"]), "must be numbers"),
    "missing": (np.where(GREY > 0.9, np.nan, GREY), "finite"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_not_images(kind):
    """Check that the error says what to do instead."""
    images, remedy = BAD_IMAGES[kind]
    with pytest.raises(ValueError, match=remedy):
        SamplesDisplay.from_samples(images)


def test_wrong_arguments(plane):
    """Check the errors of a wrong shape, no columns, no source, and tables."""
    for shape in [(1, 3, 3), (1, -1, 4), (1, -2, -4), (2, 4), 8]:
        with pytest.raises(ValueError, match=r"three positive .* columns of X, 8\."):
            SamplesDisplay.from_samples(np.ones((2, 8)), image_shape=shape)
    with pytest.raises(ValueError, match="n_columns must be at least 1; got 0"):
        SamplesDisplay.from_samples(GREY, n_columns=0)
    with pytest.raises(ValueError, match=r"\(40, 2\).*ConfidenceMapDisplay"):
        SamplesDisplay.from_estimator(plane)
    logistic = LogisticRegression().fit(X, Y)
    with pytest.raises(TypeError, match="LogisticRegression has no sample_ood"):
        SamplesDisplay.from_estimator(logistic)
    with pytest.raises(TypeError, match="needs an OODDetector"):
        DecisionsDisplay.from_estimator(logistic, GREY)
    answers = Decisions(None, np.array([True]), np.array([1.0]), np.array([0.0]))
    with pytest.raises(ValueError, match="7 images and 1 decisions"):
        DecisionsDisplay.from_decisions(GREY, answers)


def test_decisions(digits):
    """Check text, frame and image of each sample against what the detector says."""
    rows = np.r_[DIGITS.X_test[:10], DIGITS.X_ood["7"][:10]]
    display = DecisionsDisplay.from_estimator(digits, rows)
    p_value, label = digits.p_value(rows), digits.estimator_.predict(rows)
    accepted = digits.predict(rows) == 1
    assert 0 < accepted.sum() < 20
    for i in range(20):
        answer, p = display.texts_[i].get_text().split("\np ")
        assert answer == (str(label[i]) if accepted[i] else "refused")
        assert_allclose(float(p), p_value[i], atol=0.0051)
        # Told apart without colors too.
        assert display.frames_[i].get_linestyle() == ("-" if accepted[i] else "--")
        image = display.images_[i]
        assert (image.get_alpha() == 1) == accepted[i]
        assert_allclose(image.get_array().ravel(), rows[i])
        left, right, bottom, top = image.get_extent()
        assert_allclose(display.frames_[i].get_bbox().extents[[0, 2]], [left, right])
        assert_allclose(display.frames_[i].get_bbox().extents[[1, 3]], [bottom, top])


def test_decisions_without_classes():
    """Check the text of an outlier detector, and images of no classifier."""
    detector = OODDetector(GaussianMixture(), random_state=0).fit(DIGITS.X_train)
    display = DecisionsDisplay.from_estimator(
        detector, DIGITS.X_test[:9], image_shape=(1, 8, 8)
    )
    answers = {text.get_text().split("\n")[0] for text in display.texts_}
    assert answers <= {"accepted", "refused"} and "accepted" in answers


def test_decisions_of_an_open_set_in_a_pipeline(digits):
    """Check that the steps of a pipeline see the rows that are drawn."""
    open_set = OpenSetClassifier(FrozenEstimator(digits.estimator_), random_state=0)
    pipeline = make_pipeline(MaxAbsScaler(), open_set)
    pipeline.fit(DIGITS.X_train, DIGITS.y_train)
    rows = DIGITS.X_test[:9]
    display = DecisionsDisplay.from_estimator(pipeline, rows)
    decisions = open_set.decide(pipeline[0].transform(rows))
    assert_array_equal(display.decisions.p_value, decisions.p_value)
    assert_allclose(display.images[0].ravel(), rows[0])


RESPONSES = {
    "p_value": lambda d, rows: d.p_value(rows),
    "score_samples": lambda d, rows: d.score_samples(rows),
    "ood_score": lambda d, rows: d.ood_score(rows),
    "predict_proba": lambda d, rows: d.estimator_.predict_proba(rows).max(axis=1),
}


@pytest.mark.parametrize("plot_method", ["contourf", "contour", "pcolormesh"])
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("response", RESPONSES)
def test_map(response, per_class, plot_method):
    """Check the map at every point of the grid, and what the border surrounds."""
    detector = OODDetector(
        LogisticRegression(), target_tpr=0.8, per_class=per_class, random_state=0
    ).fit(X, Y)
    display = ConfidenceMapDisplay.from_estimator(
        detector,
        X,
        Y,
        X_ood=BLOBS.X_ood["ring"],
        response_method=response,
        grid_resolution=15,
        plot_method=plot_method,
    )
    grid = np.c_[display.xx0.ravel(), display.xx1.ravel()]
    expected = RESPONSES[response](detector, grid)
    if per_class and response in ("score_samples", "ood_score"):
        # With a threshold for each class, the confidence is that above the threshold.
        sign = 1 if response == "score_samples" else -1
        expected = sign * detector.decision_function(grid)
    assert_allclose(display.response.ravel(), expected)
    assert_array_equal(display.above.ravel() >= 0, detector.predict(grid) == 1)
    assert display.border_ is not None
    for label, points in display.points_.items():
        rows = BLOBS.X_ood["ring"] if label == "unknown" else X[Y.astype(str) == label]
        assert_allclose(points.get_offsets(), rows)
    both = np.r_[X, BLOBS.X_ood["ring"]]
    assert_allclose(grid.min(axis=0), both.min(axis=0) - 1)
    assert_allclose(display.ax_.get_xlim()[1], both[:, 0].max() + 1)


def test_generated_samples_are_in_the_units_of_x(plane):
    """Check that a pipeline's samples are where its points are."""
    display = ConfidenceMapDisplay.from_estimator(
        plane, 1000 * X, n_samples=20, grid_resolution=5, eps=500
    )
    assert display.border_ is None
    drawn = np.asarray(display.points_["generated"].get_offsets())
    expected = plane[0].inverse_transform(plane[-1].sample_ood(20))
    assert_allclose(drawn, expected)
    assert np.abs(drawn).max() > 500
    no_way_back = make_pipeline(SelectKBest(k=2), FrozenEstimator(plane)).fit(X, Y)
    samples = ConfidenceMapDisplay.from_estimator(
        no_way_back, X, n_samples=3, grid_resolution=3
    ).samples
    assert_allclose(samples, plane[0].inverse_transform(plane[-1].sample_ood(3)))


def test_samples_with_no_way_back():
    """Check the error of a step that cannot be undone."""
    clf = ConfidentClassifier(hidden=4, ood_source="noise", max_epochs=1)
    pipeline = make_pipeline(SplineTransformer(), clf).fit(X, Y)
    with pytest.raises(TypeError, match=r"\['splinetransformer'\].*inverse_transform"):
        ConfidenceMapDisplay.from_estimator(pipeline, X, n_samples=5)


@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame])
def test_map_of_a_table(table):
    """Check that columns keep their names, on the axes and in what is predicted."""
    frame = table({"width": X[:, 0], "height": X[:, 1]})
    clf = LogisticRegression().fit(frame, Y)
    display = ConfidenceMapDisplay.from_estimator(
        clf, frame, Y, response_method="predict_proba", grid_resolution=5
    )
    assert display.ax_.get_xlabel() == "width" and display.ax_.get_ylabel() == "height"
    grid = table({"width": display.xx0.ravel(), "height": display.xx1.ravel()})
    expected = clf.predict_proba(grid).max(axis=1)
    assert_allclose(display.response.ravel(), expected)


def test_map_errors():
    """Check the errors of wrong arguments, and of a source that makes no points."""
    clf = LogisticRegression().fit(X, Y)
    draw = ConfidenceMapDisplay.from_estimator
    with pytest.raises(ValueError, match="map has two features, but X has shape"):
        draw(clf, DIGITS.X_test)
    with pytest.raises(ValueError, match="response_method='odds' must be"):
        draw(clf, X, response_method="odds")
    with pytest.raises(TypeError, match="needs an OODDetector"):
        draw(clf, X, response_method="p_value")
    with pytest.raises(ValueError, match="method='msp' is a score, which"):
        draw(clf, X, response_method="predict_proba", method="msp")
    with pytest.raises(ValueError, match="grid_resolution must be at least 2"):
        draw(clf, X, grid_resolution=1)
    with pytest.raises(ValueError, match="plot_method='surf'"):
        draw(clf, X, plot_method="surf", grid_resolution=3)
    features = ConfidentClassifier(
        hidden=4, ood_source="features", max_epochs=1, random_state=0
    ).fit(X, Y)
    with pytest.raises(ValueError, match="makes features, not points"):
        draw(features, X, n_samples=5, grid_resolution=3)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(clf, X, Y[1:])
    with pytest.raises(TypeError, match="needs a classifier with predict_proba"):
        mixture = GaussianMixture().fit(X)
        draw(mixture, X, response_method="predict_proba")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_text_is_seen_on_any_background(style):
    """Check that text below images has not the color of what is behind it."""
    answers = Decisions(
        None, np.arange(7) > 3, np.linspace(0, 1, 7), np.linspace(0, 1, 7)
    )
    with plt.style.context(style):
        display = DecisionsDisplay.from_decisions(GREY, answers)
    behind = to_rgb(display.figure_.get_facecolor())
    for artist in display.texts_:
        assert np.abs(np.subtract(to_rgb(artist.get_color()), behind)).max() > 0.5


@pytest.mark.parametrize("name", plotting.__all__)
def test_without_matplotlib(name, monkeypatch):
    """Check that the error of every display names the extra, before anything else."""
    display = getattr(plotting, name)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    ways = [way for way in dir(display) if way.startswith("from_")]
    assert "from_estimator" in ways
    for way in ways:
        parameters = signature(getattr(display, way)).parameters.values()
        needed = [p for p in parameters if p.default is p.empty and p.name != "kwargs"]
        with pytest.raises(ImportError, match=r"confident_clf\[plot\]"):
            getattr(display, way)(*[None] * len(needed))
