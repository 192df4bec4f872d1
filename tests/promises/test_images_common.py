# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's estimator checks, copied for images (n, channels, height, width).

Its own checks make rows only. Each test here names the check that it stands for.
"""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from confident_clf import ConfidentClassifier, OODDetector

rng = np.random.default_rng(0)
Y = np.arange(60) % 3
PIXELS = rng.integers(0, 100, (60, 2, 9, 8)).astype(np.uint8)
PIXELS[np.arange(60), 0, Y] += 150  # the class is a bright line
FLOATS = PIXELS / 255.0

KINDS = {
    "joint": {},
    "none": {"ood_source": None},
    "explicit": {"ood_source": "explicit", "ood_label": "unknown"},
    "gan + noise": {"ood_source": ["gan", "noise"]},
}
METHODS = [
    "predict",
    "predict_proba",
    "decision_function",
    "ood_score",
    "score_samples",
]


def labels(kind):
    """Return the labels; explicit needs some rows that are no class."""
    names = np.array(["a", "b", "c", "unknown"])
    y = Y.copy()
    if kind == "explicit":
        y[-6:] = 3
    return names[y]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """Return the name of a regime."""
    return request.param


@pytest.fixture(scope="module", params=["uint8", "float"])
def images(request):
    """Return images as pixels or as numbers."""
    return PIXELS if request.param == "uint8" else FLOATS


@pytest.fixture(scope="module")
def fitted(kind, images):
    """Return a fitted classifier."""
    return make(kind).fit(images, labels(kind))


def make(kind, **params):
    """Return an unfitted classifier of a regime."""
    params = {"max_epochs": 2, "random_state": 0, **KINDS[kind], **params}
    return ConfidentClassifier(**params)


def outputs(clf, X):
    """Return what every method says of X."""
    return [getattr(clf, method)(X) for method in METHODS]


def test_classifiers_train(kind):
    """check_classifiers_train: accuracy, shapes, and agreement of the methods."""
    y = labels(kind)
    clf = make(kind, max_epochs=20).fit(FLOATS, y)
    known = y != "unknown"
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert (clf.predict(FLOATS) == y)[known].mean() > 0.9
    p = clf.predict_proba(FLOATS)
    assert p.shape == clf.decision_function(FLOATS).shape == (60, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(clf.classes_[p.argmax(1)], clf.predict(FLOATS))


def test_fit_idempotent(kind, images, fitted):
    """check_fit_idempotent: a second fit of the same data changes no output."""
    before = outputs(fitted, images)
    again = clone(fitted).fit(images, labels(kind)).fit(images, labels(kind))
    for a, b in zip(before, outputs(again, images), strict=True):
        np.testing.assert_array_equal(a, b)


def test_methods_subset_and_order_invariance(fitted, images):
    """check_methods_subset_invariance, check_methods_sample_order_invariance."""
    order = rng.permutation(60)
    for method in METHODS:
        call = getattr(fitted, method)
        together = call(images)
        one_by_one = np.concatenate([call(images[i : i + 1]) for i in range(9)])
        np.testing.assert_array_equal(one_by_one, together[:9])
        np.testing.assert_array_equal(call(images[order]), together[order])


def test_dict_unchanged(fitted, images):
    """check_dict_unchanged: no method changes an attribute."""
    before = vars(fitted).copy()
    outputs(fitted, images)
    assert vars(fitted) == before


def test_overwrite_params(kind, images):
    """check_estimators_overwrite_params: fit changes no parameter."""
    clf = make(kind)
    before = pickle.dumps(clf.get_params())
    clf.fit(images, labels(kind))
    assert pickle.dumps(clf.get_params()) == before


def test_pickle(fitted, images):
    """check_estimators_pickle: predictions are bit-equal after a round trip."""
    copy = pickle.loads(pickle.dumps(fitted))
    for a, b in zip(outputs(fitted, images), outputs(copy, images), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_layouts(kind, images, fitted, tmp_path):
    """check_f_contiguous_array, check_readonly_memmap_input, negative strides."""
    expected = fitted.decision_function(images)
    mapped = np.memmap(tmp_path / "x", images.dtype, "w+", shape=images.shape)
    mapped[:] = images
    mapped.flush()
    readonly = np.memmap(tmp_path / "x", images.dtype, "r", shape=images.shape)
    reverse = np.ascontiguousarray(images[::-1])[::-1]
    for X in (np.asfortranarray(images), readonly, reverse, images.astype(">f8")):
        if X.dtype != images.dtype and images.dtype == np.uint8:
            continue  # floats are other images: those in [0, 1]
        clf = make(kind).fit(X, labels(kind))
        np.testing.assert_array_equal(clf.decision_function(X), expected)


def test_input_is_not_changed(kind, images):
    """check_readonly_memmap_input's aim: X is as it was after fit and predict."""
    X = images.copy()
    outputs(make(kind).fit(X, labels(kind)), X)
    np.testing.assert_array_equal(X, images)


def test_n_features_in_after_fitting(fitted):
    """check_n_features_in_after_fitting, for all of the shape of an image."""
    for shape in [(2, 9, 9), (2, 8, 8), (1, 9, 8), (2, 72), (144,)]:
        X = np.zeros((5, *shape))
        for method in METHODS:
            with pytest.raises(ValueError, match=r"expecting \(2, 9, 8\)"):
                getattr(fitted, method)(X)


def test_nan_inf(fitted):
    """check_estimators_nan_inf, in predict; test_bad_input.py has fit."""
    for bad in (np.nan, np.inf):
        X = FLOATS.copy()
        X[3, 1, 2, 3] = bad
        for method in METHODS:
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                getattr(fitted, method)(X)


def test_data_not_an_array(kind, fitted):
    """check_classifier_data_not_an_array: nested lists are arrays."""
    clf = make(kind).fit(FLOATS.tolist(), labels(kind).tolist())
    expected = make(kind).fit(FLOATS, labels(kind)).decision_function(FLOATS)
    np.testing.assert_array_equal(clf.decision_function(FLOATS.tolist()), expected)


def test_dtypes():
    """check_estimators_dtypes: float32, float64, float16 and integers are taken."""
    y = labels("none")
    for dtype in (np.float16, np.float32, np.float64, np.int64):
        X = (FLOATS * 4).astype(dtype)
        assert make("none").fit(X, y).predict(X).shape == (60,)


def test_detector_over_images():
    """Check OODDetector on images: +1 or -1, and the target on its own rows."""
    detector = OODDetector(make("none"), target_tpr=0.8, random_state=0)
    detector.fit(PIXELS, labels("none"))
    answers = detector.predict(PIXELS)
    assert set(answers) <= {-1, 1}
    assert (answers == 1).mean() > 0.6
    assert detector.transform(PIXELS).shape == (60, 1)
    p = detector.p_value(PIXELS)
    np.testing.assert_array_equal(answers == 1, p > 0.2)
