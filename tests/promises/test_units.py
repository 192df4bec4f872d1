# SPDX-License-Identifier: BSD-3-Clause
"""Images in other units than those of fit: refused, or a warning, once."""

import copy
import pickle
import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import (
    ConfidentClassifier,
    OODDetector,
    OpenSetClassifier,
    dumps,
    loads,
    make_ood_scorer,
)
from confident_clf.utils._units import PixelRange

DIGITS, Y = load_digits(return_X_y=True)
DIGITS, Y = DIGITS[Y < 3].reshape(-1, 1, 8, 8), Y[Y < 3]
# An image is the digit on a background that is never quite black or white.
RNG = np.random.default_rng(0)
SCALED = np.clip(DIGITS / 20 + RNG.uniform(0, 0.2, DIGITS.shape), 0, 1)
SCALED = SCALED.astype(np.float32)
PIXELS = np.rint(SCALED * 255).astype(np.uint8)
UNITS = {
    "scaled": SCALED,
    "pixels as floats": SCALED * 255,
    "normalised": (SCALED - SCALED.mean()) / SCALED.std(),
    "centered": 2 * SCALED - 1,
}
TRAIN, NEW = slice(0, 300), slice(300, None)
fast = partial(
    ConfidentClassifier,
    max_epochs=1,
    hidden=8,
    ood_source="noise",
    random_state=0,
    device="cpu",
)
FITTED = {name: fast().fit(X[TRAIN], Y[TRAIN]) for name, X in UNITS.items()}
FITTED["uint8"] = fast().fit(PIXELS[TRAIN], Y[TRAIN])


def fresh(name):
    """Return a fitted classifier that has not warned yet."""
    return copy.deepcopy(FITTED[name])


def n_warnings(function, *args):
    """Return how many warnings of units a call makes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    assert all("looks like other units" in str(w.message) for w in caught)
    return len(caught)


# Both have negative pixels, and the ranges are alike: that is not plain.
ALIKE = {"normalised", "centered"}
PAIRS = [(a, b) for a in UNITS for b in UNITS if a == b or {a, b} != ALIKE]


@pytest.mark.parametrize("n", [1, 5, 200])
@pytest.mark.parametrize(("fitted", "served"), PAIRS)
def test_floats_in_other_units(fitted, served, n):
    """Check pairs of units, for one image and for many: a warning, and only then."""
    clf, X = fresh(fitted), UNITS[served][NEW][:n].astype(np.float32)
    n_images = len(X)
    assert n_warnings(clf.predict, X) == (fitted != served)
    assert clf.ood_score(X).shape == (n_images,)


@pytest.mark.parametrize(
    ("X", "n_expected"),
    [
        (SCALED / 255, 1),
        (SCALED * 0.7, 0),
        (np.zeros_like(SCALED), 0),
        (np.ones_like(SCALED), 0),
        (np.full_like(SCALED, 0.3), 0),
        (1 - SCALED, 0),
        (RNG.random(SCALED.shape), 0),
        (RNG.normal(0.5, 1, SCALED.shape), 1),
        (SCALED * [1e4 if i == 9 else 1 for i in range(8)], 0),
        (PIXELS, 0),
    ],
    ids=[
        *("divided twice", "darker", "black", "white", "one color", "inverted"),
        *("noise", "wide noise", "no broken pixel", "uint8"),
    ],
)
def test_unusual_images(X, n_expected):
    """Check that unusual images in the same units are taken without a word."""
    assert n_warnings(fresh("scaled").predict, X[NEW]) == n_expected


def test_one_broken_pixel():
    """Check that a few broken pixels are not other units."""
    X = SCALED[NEW].copy()
    X[0, 0, 3, 3] = 1e6
    assert n_warnings(fresh("scaled").ood_score, X) == 0


@pytest.mark.parametrize("name", [*UNITS, "uint8"])
def test_ordinary_batches_are_quiet(name):
    """Check every image alone, every class alone, and sizes in between."""
    X = PIXELS if name == "uint8" else UNITS[name].astype(np.float32)
    clf, pixels = fresh(name), FITTED[name]._format.pixels
    for label in range(3):
        assert n_warnings(clf.predict, X[NEW][Y[NEW] == label]) == 0
    n_others = sum(pixels.is_other(X[NEW][i : i + 1]) for i in range(100))
    assert n_others == 0
    assert n_warnings(clf.predict, X[TRAIN]) == 0


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (UNITS["pixels as floats"], "floats up to 25.*divide by 255"),
        (UNITS["normalised"], "do not normalise"),
        (UNITS["centered"], r"down to -(1|0\.9)"),
        (SCALED * 1.01 + 0.01, "clip"),
        (PIXELS.astype(np.int64), "floats up to 25"),
    ],
    ids=["floats", "normalised", "centered", "overshoot", "int64"],
)
@pytest.mark.parametrize("method", ["predict", "ood_score", "partial_fit", "X_ood"])
def test_after_uint8(served, message, method):
    """Check that floats outside of [0, 1] are refused after a fit on uint8."""
    clf = fresh("uint8")
    with pytest.raises(ValueError, match=message):
        if method == "partial_fit":
            clf.partial_fit(served, Y)
        elif method == "X_ood":
            fast(ood_source="explicit").fit(PIXELS, Y, X_ood=served)
        else:
            getattr(clf, method)(served)


def test_scaled_after_uint8():
    """Check that floats in [0, 1] are the same images, and that rounding is allowed."""
    clf = fresh("uint8")
    expected = clf.predict_proba(PIXELS)
    scaled = PIXELS.astype(np.float32) / 255
    np.testing.assert_allclose(clf.predict_proba(scaled), expected, atol=1e-6)
    np.testing.assert_allclose(
        clf.predict_proba(scaled * np.float32(1.0000001)), expected, atol=1e-4
    )
    assert n_warnings(fresh("uint8").predict, scaled / 255) == 1


@pytest.mark.parametrize("name", ["normalised", "centered", "pixels as floats"])
def test_uint8_after_floats(name):
    """Check that uint8 is refused where the floats of fit were not in [0, 1]."""
    with pytest.raises(ValueError, match=r"is uint8, which is scaled.*floats up to"):
        fresh(name).predict(PIXELS)


@pytest.mark.parametrize("how", [pickle.loads, loads])
@pytest.mark.parametrize("name", ["scaled", "uint8"])
def test_after_loading(how, name):
    """Check that a loaded classifier knows its units, and has not warned yet."""
    clf = fresh(name)
    other = SCALED[NEW] / 255 if name == "uint8" else SCALED[NEW] * 255
    assert n_warnings(clf.predict, other) == 1
    data = (pickle.dumps if how is pickle.loads else dumps)(clf)
    loaded = how(data)
    assert loaded._format == clf._format
    assert [n_warnings(loaded.predict, other) for _ in range(3)] == [1, 0, 0]


def test_predicting_changes_nothing():
    """Check that a warning leaves the fitted classifier as it was, to the byte."""
    clf = fresh("scaled")
    before = pickle.dumps(clf)
    assert n_warnings(clf.predict, SCALED * 255) == 1
    assert pickle.dumps(clf) == before


def test_warnings_that_are_errors():
    """Check that every call raises then: no later one is silently wrong."""
    clf = fresh("scaled")
    for _ in range(2):
        with pytest.raises(UserWarning, match="other units"):
            clf.predict(SCALED * 255)


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("kind", [OODDetector, OpenSetClassifier])
def test_detectors(kind, per_class):
    """Check that detectors score unknown images of any units, with one warning."""
    detector = kind(
        FrozenEstimator(fresh("scaled")), target_tpr=0.5, per_class=per_class
    )
    detector.fit(SCALED[TRAIN], Y[TRAIN])
    assert n_warnings(detector.predict, SCALED[NEW]) == 0
    unknown = RNG.normal(0, 3, (20, 1, 8, 8))
    assert n_warnings(detector.predict, unknown) == 1
    assert n_warnings(detector.score_samples, unknown) == 0
    assert detector.predict(unknown).shape == (20,)


@pytest.mark.parametrize("X_ood", ["gaussian", "permuted", "uniform", SCALED[:9] * 255])
def test_scorers(X_ood):
    """Check that each fitted classifier warns of OOD images at most once."""
    scorer = make_ood_scorer(X_ood=X_ood)
    clf = fast()

    def search():
        cross_val_score(clf, SCALED, Y, cv=2, scoring=scorer, error_score="raise")

    assert n_warnings(search) == (0 if isinstance(X_ood, str) else 2)


def test_units_of_parts():
    """Check that later parts with a larger range add to it."""
    dark, light = SCALED[:40] * 0.1, SCALED[40:80]
    clf = fast().partial_fit(dark, Y[:40], classes=range(3))
    with pytest.warns(UserWarning, match="other units"):
        clf.partial_fit(light, Y[40:80])
    clf = copy.deepcopy(clf)
    assert n_warnings(clf.predict, light) == n_warnings(clf.predict, dark) == 0
    assert n_warnings(clf.predict, light * 255) == 1


def test_flat_images_and_rows():
    """Check that rows that are images have units, and that other rows have none."""
    flat = SCALED.reshape(len(SCALED), -1)
    clf = fast(image_shape=(1, 8, 8)).fit(flat[TRAIN], Y[TRAIN])
    assert n_warnings(clf.predict, flat[NEW] * 255) == 1
    scaler = make_pipeline(StandardScaler(), fast(image_shape=(1, 8, 8)))
    scaler.fit(flat[TRAIN], Y[TRAIN])
    assert n_warnings(scaler.predict, flat[NEW]) == 0
    rows = fast().fit(flat[TRAIN], Y[TRAIN])
    assert rows._format.pixels is None
    assert n_warnings(rows.predict, flat[NEW] * 255) == 0


def test_range_of_images():
    """Check the range against a count by hand."""
    X = np.array([[0.1, 0.9], [0.0, 0.4], [0.2, 1.0]], dtype=np.float32)
    expected = [0.0, 1.0, 0.2, 0.19, 0.4, 0.45]
    np.testing.assert_allclose(PixelRange.of(X), expected, rtol=1e-6)
    pixels = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    expected = [0.0, 1.0, 0.4, 0.38, 0.2, 0.24]
    np.testing.assert_allclose(PixelRange.of(pixels), expected)
