# SPDX-License-Identifier: BSD-3-Clause
"""Whatever is passed: a right answer, or an error that was meant for the user.

``pytest tests/test_any_input.py --examples 20000`` tries more.
"""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from skorch.callbacks import EpochTimer
from torch import nn

from confident_clf import (
    ConfidentClassifier,
    DivergenceError,
    OODDetector,
    OpenSetClassifier,
)
from confident_clf.metrics import (
    aupr_in,
    aupr_out,
    aurc,
    auroc,
    detection_accuracy,
    expected_calibration_error,
    fpr_at_tpr,
    tnr_at_tpr,
)
from confident_clf.modules import MLP, MLPDiscriminator, MLPGenerator
from confident_clf.scores import KNN, ODIN
from confident_clf.scores._make_score import SCORES
from confident_clf.sources import (
    FeatureOOD,
    JointGAN,
    MixtureOOD,
    NoiseOOD,
    OriginalGAN,
)
from tests.promises.strategies import (
    count,
    examples,
    kinds,
    labels,
    often,
    refusal,
    samples,
    shapes_of_rows,
    snapshot,
)

Small = partial(MLP, hidden=(4,))
fast = partial(
    ConfidentClassifier, Small, latent_dim=3, max_epochs=1, batch_size=8, random_state=0
)
SOURCES = ["joint", "gan", "noise", "features", None, ["noise", "joint"]]


def check_answers(clf, X, n):
    """Check all that a classifier says of n samples against each other."""
    K = len(clf.classes_)
    probabilities = clf.predict_proba(X)
    assert probabilities.shape == (n, K) and probabilities.dtype == np.float64
    assert np.isfinite(probabilities).all() and (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype
    np.testing.assert_array_equal(predicted, clf.classes_[probabilities.argmax(axis=1)])
    scores = clf.ood_score(X)
    assert scores.shape == (n,) and np.isfinite(scores).all()
    np.testing.assert_array_equal(clf.score_samples(X), -scores)


def check_samples(clf, shape):
    """Check what a classifier's source returns, if it has one for inputs."""
    source = clf.net_.source
    if source is not None and source.makes_inputs:
        sampled = clf.sample_ood(3)
        assert sampled.shape == (3, *shape) and np.isfinite(sampled).all()


def test_fit_on_anything(request):
    """Check data and labels of every kind: those that are good must be taken."""

    @examples(0.35, request.config)
    @given(st.data())
    def check(data):
        X, x_is_good = data.draw(samples(shapes_of_rows()))
        n = count(X)
        y, plain, y_is_good = data.draw(labels(n))
        clf = fast(ood_source=data.draw(st.sampled_from(SOURCES)))
        before = snapshot(X), snapshot(y)
        if data.draw(st.sampled_from([True, True, False])):
            error = refusal(clf.fit, X, y)
        else:
            classes = y if y_is_good else data.draw(st.sampled_from([y, [0, 1], [], 3]))
            error = refusal(clf.partial_fit, X, y, classes)
        assert (snapshot(X), snapshot(y)) == before
        if error is not None:
            is_extreme = isinstance(error, DivergenceError)
            assert is_extreme or not (x_is_good and y_is_good), error
            assert not hasattr(clf, "net_") and not hasattr(clf, "classes_")
            return
        if y_is_good:
            assert clf.classes_.tolist() == sorted(set(plain))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_answers(clf, X, n)
            check_samples(clf, np.shape(X)[1:])
        assert (snapshot(X), snapshot(y)) == before

    check()


ROWS = np.random.default_rng(0).normal(size=(24, 3))
CLASSES = np.arange(24) % 3
IMAGES = np.random.default_rng(0).random((24, 1, 8, 8))


@pytest.fixture(scope="module")
def fitted():
    """Classifiers of rows, of images and of pixels."""
    return [
        fast(ood_source="noise").fit(ROWS, CLASSES),
        fast(ood_source=None, method="knn").fit(IMAGES, CLASSES),
        fast(ood_source=None).fit((IMAGES * 255).astype(np.uint8), CLASSES),
    ]


def test_predict_on_anything(fitted, request):
    """Check a fitted classifier on samples of every kind, and what it says alike."""
    shapes = st.one_of(
        st.tuples(st.integers(1, 30), st.just(3)),
        st.tuples(st.integers(1, 5), st.just(1), st.just(8), st.just(8)),
        shapes_of_rows(),
    )

    @examples(0.15, request.config)
    @given(st.sampled_from(fitted), samples(shapes))
    def check(clf, drawn):
        X, is_good = drawn
        before = snapshot(X)
        error = refusal(clf.predict, X)
        if error is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_answers(clf, X, count(X))
        else:
            assert not is_good or np.shape(X)[1:] != clf._format.shape, error
        assert snapshot(X) == before

    check()


def nothing(*args):
    """Return no network."""


def always(factor):
    """Return a schedule with a constant factor."""
    return lambda progress: factor


# Parameter -> values that fit must take, and values that it must refuse.
PARAMETERS = {
    "module": (
        [None, MLP, Small, nn.Linear(64, 3)],
        ["MLP", 3, nn.Linear(64, 2), nothing, nn.Linear, MLPGenerator],
    ),
    "hidden": (
        [None, 8, (8, 4), [8], (), np.int64(5), np.array([6]), np.uint8(3)],
        [0, -1, 1.5, "8", (8, 0), [8.5], [None], [True], {}, {8}, [[8]], np.eye(2)],
    ),
    "ood_source": (
        [*SOURCES, NoiseOOD(), [("noise", 0.5), "joint"], [NoiseOOD()], [["noise"]]],
        [
            *("jiont", "explicit", "", 3, {}, NoiseOOD, ("noise", "joint")),
            *([], [None], [3], ["x"], [()], [("noise",)], [("noise", "joint", 1)]),
            *([("noise", share)] for share in (-1, 0, np.nan, np.inf, "much")),
        ],
    ),
    "beta": (
        [0, 0.0, 1, 0.1, 1e3, np.float32(0.5)],
        [-1, np.nan, np.inf, "1", None, [1]],
    ),
    "ood_target": (["uniform", "reject"], ["unifrom", None, 1]),
    "generator": ([None, MLPGenerator], ["x", 3, nothing, MLP, nn.Linear]),
    "discriminator": ([None, MLPDiscriminator], ["x", 3, nothing, MLPGenerator]),
    "latent_dim": ([1, 3, np.int8(2)], [0, -1, 1.5, None, "3"]),
    "entropy_weight": ([0, 0.1, np.float16(10)], [-1, np.nan, np.inf, "0", None]),
    "image_shape": (
        [None, (1, 8, 8), [1, 8, 8], (1, -1, 8), (np.int64(1), 8, 8)],
        [
            *((), (1, 8), (1, 9, 8), (1, -1, -1), (1, 0, 8), (-1, 7, 8), (1, 8, 8, 1)),
            *("1,8", 64, (1, 8.0, 8), (1, "8", 8), (True, 8, 9), (None, 8, 8)),
        ],
    ),
    "lr": ([1e-9, 0.1, np.float32(1e-3)], [0, -1, np.nan, np.inf, None, "x"]),
    "backbone_lr": ([None, 0, 1e-4, np.float32(1e-3)], [-1, np.nan, np.inf, "x", []]),
    "head_epochs": ([0, 1, np.int8(2)], [-1, 1.5, None, "1"]),
    "inference": (["exact", "fast"], ["slow", None, 1]),
    "gan_lr": ([None, 1e-9, 0.1], [0, -1, np.nan, np.inf, "x"]),
    "batch_size": (
        [2, 7, 64, 10**6, np.int32(5), np.uint8(200)],
        [1, 0, -1, 2.5, None, "2"],
    ),
    "max_epochs": ([1, 2, np.uint8(1)], [0, -1, 1.5, None, np.inf]),
    "lr_schedule": (
        [None, "step", "one_cycle", always(1), always(0.0), always(np.float32(1))],
        [
            *("x", 3, always(None), always("x"), always([1]), nothing),
            *(always(factor) for factor in (np.nan, np.inf, -1.0)),
        ],
    ),
    "weight_decay": ([0, 0.1, 1], [-1, np.nan, np.inf, None]),
    "label_smoothing": ([0, 0.1, 0.99], [-0.1, 1, 1.5, np.nan, None]),
    "class_weight": (
        [None, "balanced", {}, {0: 2.0}, dict.fromkeys(range(3), 3)],
        ["x", 3, [1], {0: 0}, {0: -1.0}, {0: np.nan}, {0: "a"}, {"a": 1}, {77: 1}],
    ),
    "augment": (
        [None, lambda x: x, lambda x: x.flip(-1)],
        [
            *("flip", "x", 3, nothing),
            *(lambda x: x[:1], lambda x: x.double(), lambda x: x.cpu().numpy()),
        ],
    ),
    "early_stopping": ([True, False, np.bool_(True)], [None, "yes", 2]),
    "validation_fraction": ([0.2, 0.5], [0, 1, -0.1, 1.5, np.nan, None]),
    "n_iter_no_change": ([1, np.int64(10)], [0, -1, 1.5, None]),
    "ood_label": (
        [None, 99, -1, 2**70],
        [[1, 2], np.array([1, 2]), ["a"], "a", b"x", np.nan],
    ),
    "method": ([*SCORES, KNN(n_neighbors=3), ODIN()], ["mps", None, 3, KNN, "", []]),
    "device": (
        ["auto", "cpu", torch.device("cpu")],
        ["gpu", "cuda:99", "", "meta", torch.device("meta"), 0, None],
    ),
    "precision": (["auto", "float32", "bfloat16"], ["half", None, 32, torch.float32]),
    # Compiled training has tests of its own: here it would take minutes.
    "compile": ([False], [None, "yes", 2, {"backend": "no such"}]),
    "callbacks": (
        [None, [], (), [None], [EpochTimer, ("own", EpochTimer())]],
        ["x", 3, [3], [("x", None, 1)], [("x", 3)], {}],
    ),
    "warm_start": ([True, False], [None, "yes", 2]),
    "checkpoint": ([None], [3, b"folder", [], ""]),
    "verbose": ([0, False], [-1, "x", None]),
    "random_state": (
        [0, None, 2**32 - 1, np.int64(3), np.random.RandomState(0)],
        [-1, 2**32, 0.5, "0", np.random.default_rng(0), [1]],
    ),
}
FLAT = IMAGES.reshape(24, 64)


def test_every_parameter_is_tried():
    """Check that the table has all parameters, and the defaults are among the good."""
    assert set(PARAMETERS) == set(ConfidentClassifier().get_params())


@pytest.mark.parametrize("name", PARAMETERS)
def test_one_parameter(name):
    """Check that good values are taken, and the others refused by name."""
    good, bad = PARAMETERS[name]
    # A parameter that is not used is not checked.
    default = {"module": None} if name == "hidden" else {}
    if name in ("generator", "discriminator"):
        default = {"ood_source": "joint"}
    for value in good:
        clf = fast().set_params(**default, **{name: value})
        error = refusal(clf.fit, FLAT, CLASSES)
        assert error is None, (value, error)
        check_answers(clf, FLAT, 24)
    for value in bad:
        clf = fast().set_params(**default, **{name: value})
        error = refusal(clf.fit, FLAT, CLASSES)
        assert error is not None, value
        assert name in str(error) or "shares" in str(error)
        assert not hasattr(clf, "net_")


GAN = {
    "generator": PARAMETERS["generator"][1],
    "latent_dim": PARAMETERS["latent_dim"][1],
    "lr": PARAMETERS["gan_lr"][1],
    "entropy_weight": PARAMETERS["entropy_weight"][1],
}
OF_ORIGINAL_GAN = ["max_epochs", "batch_size", "lr_schedule"]
# Values of the parameters of sources that fit must refuse.
OF_SOURCES = {
    JointGAN: GAN | {"objective": ["sure", None]},
    OriginalGAN: GAN | {name: PARAMETERS[name][1] for name in OF_ORIGINAL_GAN},
    NoiseOOD: {"kinds": ["uniform", 3, [], ["x"]], "enlarge": [-1, np.nan, None, "1"]},
    FeatureOOD: {
        "share": [0, 1.5, -1, np.nan, None, "x"],
        "distance": [0, -1, np.nan, np.inf, None, "x"],
    },
    partial(MixtureOOD, [NoiseOOD()]): {
        "sources": [[], None, 3, ["noise"], [NoiseOOD(enlarge=-1)], [None]],
        "shares": [[], [0], [-1], [np.nan], ["x"], [1, 1], 3],
    },
}


@pytest.mark.parametrize("kind", OF_SOURCES)
def test_parameters_of_sources(kind):
    """Check that sources of the user's are refused like the classifier's parameters."""
    for name, values in OF_SOURCES[kind].items():
        for value in values:
            source = kind().set_params(**{name: value})
            for ood_source in (source, [source, "noise"]):
                error = refusal(fast(ood_source=ood_source).fit, FLAT, CLASSES)
                assert error is not None, (name, value)
                assert any(n in str(error) for n in (name, "shares", "enlarge"))


def test_parameters_together(request):
    """Check any parameters on rows that are images, with OOD rows or without."""

    @examples(0.15, request.config)
    @given(st.data())
    def check(data):
        names = data.draw(st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=5))
        params = {}
        for name in names:
            good, bad = PARAMETERS[name]
            params[name] = data.draw(st.sampled_from([*good, *good, *bad]))
        X_ood = data.draw(st.sampled_from([*[None] * 6, FLAT[:5] + 1, FLAT[:5, 1:]]))
        clf = fast().set_params(**params)
        error = refusal(clf.fit, FLAT, CLASSES, X_ood=X_ood)
        if error is None:
            check_answers(clf, FLAT, 24)
        else:
            assert not hasattr(clf, "net_")
        assert all(getattr(clf, name) is value for name, value in params.items())

    check()


def test_detectors_on_anything(request):
    """Check decisions and p-values of detectors, or that they refuse."""
    good = {
        "target_tpr": [0.5, 0.6, np.float32(0.75)],
        "cv": [0.5, 0.3, 2, None],
        "method": [None, "msp", "entropy"],
        "per_class": [False, False, True],
        "random_state": [0, None],
    }
    bad = {
        "target_tpr": [0, 1, 0.999, np.nan, "x"],
        "cv": [1, -1, 1.5, np.nan, "x"],
        "method": ["energy", "knn", "mps", KNN(), 3],
        "per_class": [None],
        "random_state": [-1, 0.5],
    }

    @examples(0.15, request.config)
    @given(st.data())
    def check(data):
        many = st.tuples(st.integers(10, 30), st.integers(1, 3))
        X, _ = data.draw(samples(often(many, shapes_of_rows())))
        n = count(X)
        y, _, _ = data.draw(labels(n))
        base = data.draw(st.sampled_from([fast(ood_source=None), NEAREST, NEAREST]))
        params = {name: data.draw(st.sampled_from(v)) for name, v in good.items()}
        for name in data.draw(st.lists(st.sampled_from(sorted(bad)), max_size=1)):
            params[name] = data.draw(st.sampled_from(bad[name]))
        kind = data.draw(st.sampled_from([OODDetector, OpenSetClassifier]))
        detector = kind(base, **params)
        before = snapshot(X), snapshot(y)
        if refusal(detector.fit, X, y) is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_decisions(detector, X, n)
        assert (snapshot(X), snapshot(y)) == before

    check()


def test_dates_as_labels():
    """Check what the long run found: dates have no place for an unknown one."""
    dates = np.datetime64("2026-01-01") + CLASSES
    clf = fast(ood_source=None).fit(ROWS, dates)
    assert set(clf.predict(ROWS)) <= set(dates)
    error = refusal(OpenSetClassifier(clf, target_tpr=0.5).fit, ROWS, dates)
    assert "dates" in str(error)


NEAREST = KNeighborsClassifier(n_neighbors=1)


def check_decisions(detector, X, n):
    """Check all that a detector, or an open-set classifier, says of n samples."""
    if isinstance(detector, OpenSetClassifier):
        known = {*detector.classes_.tolist(), detector.unknown_label}
        assert set(detector.predict(X).tolist()) <= known
        return
    decided, p = detector.predict(X), detector.p_value(X)
    assert decided.shape == p.shape == (n,) and set(decided) <= {1, -1}
    np.testing.assert_array_equal(decided == 1, detector.decision_function(X) >= 0)
    assert (p > 0).all() and (p <= 1).all()


METRICS = {
    "auroc": auroc,
    "aupr_in": aupr_in,
    "aupr_out": aupr_out,
    "tnr_at_tpr": tnr_at_tpr,
    "fpr_at_tpr": fpr_at_tpr,
    "detection_accuracy": detection_accuracy,
    "expected_calibration_error": expected_calibration_error,
    "aurc": aurc,
}


def brute_auroc(y_true, y_score):
    """Return the share of pairs that are in order, ties counted half."""
    known, unknown = y_score[y_true == 1][:, None], y_score[y_true == 0]
    return np.mean((known > unknown) + (known == unknown) / 2)


def test_metrics_on_anything(request):
    """Check that metrics are shares, or refuse; and the first by counting pairs."""

    @examples(0.2, request.config)
    @given(st.data())
    def check(data):
        vectors = st.tuples(st.integers(1, 12))
        shape = data.draw(often(vectors, shapes_of_rows()))
        y_score, _ = data.draw(samples(st.just(shape)))
        n = shape[0] if shape else 1
        y_true = data.draw(kinds(n))
        name = data.draw(st.sampled_from(sorted(METRICS)))
        before = snapshot(y_true), snapshot(y_score)
        if refusal(METRICS[name], y_true, y_score) is None:
            value = METRICS[name](y_true, y_score)
            assert isinstance(value, float) and 0 <= value <= 1
        assert (snapshot(y_true), snapshot(y_score)) == before
        if refusal(auroc, y_true, y_score) is None:
            y_true, y_score = np.asarray(y_true), np.asarray(y_score, dtype=float)
            assert auroc(y_true, y_score) == pytest.approx(brute_auroc(y_true, y_score))

    check()
