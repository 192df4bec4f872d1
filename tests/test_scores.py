# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the scores inside the classifier and the detector."""

import pickle
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from confident_clf import ConfidentClassifier, OODDetector, make_ood_scorer
from confident_clf.metrics import auroc
from confident_clf.scores import (
    GEN,
    KNN,
    ODIN,
    RMD,
    Mahalanobis,
    OODScore,
    ReAct,
    ViM,
    gen,
    score_logits,
)
from confident_clf.scores._make_score import SCORES, make_score

X, Y = load_digits(return_X_y=True)
X, UNKNOWN, Y = X[Y < 5] / 16, X[Y >= 5][:200] / 16, Y[Y < 5]
TRAIN, Y_TRAIN, TEST = X[:500], Y[:500], X[500:]
FITTED = ["knn", "mahalanobis", "react", "rmd", "vim"]
fast = partial(ConfidentClassifier, ood_source=None, max_epochs=10, random_state=0)


@pytest.fixture(scope="module")
def plain():
    """Return a classifier whose method is not fitted."""
    return fast().fit(TRAIN, Y_TRAIN)


def refit(clf, method):
    """Return the same network with a method fitted on the training samples."""
    return fast(method=method).fit(TRAIN, Y_TRAIN)


def auroc_of(clf, **kwargs):
    """Return how well a classifier tells known from unknown digits."""
    scores = [clf.score_samples(Z, **kwargs) for Z in (TEST, UNKNOWN)]
    return auroc(np.repeat([1, 0], [len(Z) for Z in scores]), np.concatenate(scores))


@pytest.mark.parametrize("method", sorted(SCORES))
def test_every_score_ranks_the_right_way_round(method):
    """Check float64, finite scores of known below those of unknown digits."""
    clf = refit(None, method)
    scores = clf.ood_score(TEST)
    assert scores.dtype == np.float64 and scores.shape == (len(TEST),)
    assert np.isfinite(scores).all()
    assert auroc_of(clf) > 0.85
    assert_array_equal(clf.score_samples(TEST), -scores)


@pytest.mark.parametrize("method", sorted(set(SCORES) - set(FITTED)))
def test_methods_without_fit_work_always(plain, method):
    """Check that the method may be chosen when predicting, by name and object."""
    scores = plain.ood_score(TEST, method=method)
    assert_array_equal(scores, refit(None, method).ood_score(TEST))
    assert_array_equal(scores, plain.ood_score(TEST, make_score(method)))
    assert not vars(make_score(method)).keys() - make_score(method).get_params().keys()


def test_scores_of_logits(plain):
    """Check names and GEN's parameters against the functions."""
    logits = plain.decision_function(TEST)
    assert_array_equal(plain.ood_score(TEST, "energy"), score_logits(logits, "energy"))
    scores = plain.ood_score(TEST, GEN(gamma=0.4, n_top=2))
    assert_array_equal(scores, gen(logits, 0.4, 2))


@pytest.mark.parametrize("method", FITTED)
def test_not_fitted_for(plain, method):
    """Check the message for a score that only `fit` could have fitted."""
    before = vars(plain).copy()
    for unfitted in (method, make_score(method)):
        with pytest.raises(ValueError, match=r"set_params\(.*\)\.fit_method"):
            plain.ood_score(TEST, method=unfitted)
    assert vars(plain) == before
    with pytest.raises(NotFittedError):
        fast(method=method).ood_score(TEST)


def test_other_parameters_are_another_score():
    """Check that only a score with the same parameters stands for the fitted one."""
    clf = refit(None, KNN(n_neighbors=7))
    assert_array_equal(clf.ood_score(TEST, KNN(n_neighbors=7)), clf.ood_score(TEST))
    for other in ("knn", KNN(n_neighbors=8), "vim"):
        with pytest.raises(
            ValueError, match=r"fitted with method=KNN\(n_neighbors=7\)"
        ):
            clf.ood_score(TEST, other)
    clf.set_params(method__n_neighbors=9)
    with pytest.raises(ValueError, match=r"set_params\(method=KNN\(n_neighbors=9\)\)"):
        clf.ood_score(TEST)
    clf.set_params(method="energy")
    assert_array_equal(clf.ood_score(TEST), clf.ood_score(TEST, "energy"))


@pytest.mark.parametrize("method", FITTED)
def test_fit_method(plain, method):
    """Check that a method fitted later scores as one fitted with the network."""
    expected = refit(None, method).ood_score(TEST)
    clf = clone(plain).fit(TRAIN, Y_TRAIN).set_params(method=method)
    net = clf.net_
    assert clf.fit_method(TRAIN, Y_TRAIN) is clf
    assert clf.net_ is net
    assert_array_equal(clf.ood_score(TEST), expected)


def test_fit_method_leaves_ood_rows_out():
    """Check the rows that fit the method, and labels of any kind."""
    names = np.array(list("edcba"))[Y_TRAIN]
    rows, labels = np.r_[UNKNOWN, TRAIN], np.r_[np.full(len(UNKNOWN), "?"), names]
    clf = fast(ood_source="explicit", ood_label="?").fit(rows, labels)
    clf.set_params(method="mahalanobis").fit_method(rows, labels)
    means = clf.method_.means_
    assert_array_equal(clf.fit_method(TRAIN, names).method_.means_, means)


def test_fit_method_refuses(plain):
    """Check that what cannot fit a method is named, and changes nothing."""
    clf = clone(plain).fit(TRAIN, Y_TRAIN)
    before = clf.method_
    with pytest.raises(ValueError, match="64 features"):
        clf.fit_method(TRAIN[:, :9], Y_TRAIN)
    with pytest.raises(ValueError, match="not among the classes"):
        clf.fit_method(TRAIN, Y_TRAIN + 1)
    with pytest.raises(ValueError, match="method"):
        clf.set_params(method="no such").fit_method(TRAIN, Y_TRAIN)
    assert clf.method_ is before
    with pytest.raises(NotFittedError):
        fast().fit_method(TRAIN, Y_TRAIN)


def test_fitted_on_the_training_samples_alone():
    """Check that rows set aside as OOD do not fit the score, and parameters stay."""
    score = KNN(n_neighbors=1)
    rows = np.r_[TRAIN, UNKNOWN]
    labels = np.r_[Y_TRAIN, np.full(len(UNKNOWN), -1)]
    clf = fast(ood_source="explicit", ood_label=-1, method=score).fit(rows, labels)
    assert not hasattr(score, "directions_")
    features = clf._view(clf.net_).features(rows.astype(np.float32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert_allclose(clf.method_.directions_, features[:500], atol=1e-12)
    expected = cdist(features[500:], features[:500]).min(axis=1)
    assert_allclose(clf.ood_score(UNKNOWN), expected, atol=1e-12)
    assert_array_equal(clf.ood_score(TRAIN), np.zeros(500))


def test_class_means_are_of_the_labels():
    """Check that strings as labels, in any order, make the same classes."""
    names = np.array(["e", "d", "c", "b", "a"])[Y_TRAIN]
    clf = fast(method="mahalanobis").fit(TRAIN, names)
    features = clf._view(clf.net_).features(TRAIN.astype(np.float32))
    expected = [features[names == name].mean(axis=0) for name in "abcde"]
    assert_allclose(clf.method_.means_, expected)


@pytest.mark.parametrize("kind", ["rows", "images", "reject"])
@pytest.mark.parametrize("method", sorted(SCORES))
def test_rows_alone_as_in_a_batch(method, kind):
    """Check bit equality of scores of a row alone, and that X is not changed."""
    params = {
        "rows": {},
        "images": {"image_shape": (2, 8, 8)},
        "reject": {"ood_source": "noise", "ood_target": "reject"},
    }[kind]
    rows, samples = TRAIN, np.r_[TEST, UNKNOWN]
    if kind == "images":  # of two channels, whose layout in memory may change
        rows, samples = np.hstack([rows, 1 - rows]), np.hstack([samples, 1 - samples])
    clf = fast(method=method, max_epochs=1, **params).fit(rows, Y_TRAIN)
    samples.flags.writeable = False
    state = pickle.dumps(clf.method_)
    scores = clf.ood_score(samples)
    for i in range(0, len(samples), 67):
        assert_array_equal(clf.ood_score(samples[i : i + 1]), scores[i : i + 1])
    assert_array_equal(clf.ood_score(samples[::-1]), scores[::-1])
    assert pickle.dumps(clf.method_) == state


def test_pixels():
    """Check that ODIN's step is in the range [0, 1] that the network sees."""
    pixels = np.rint(TRAIN * 255).astype(np.uint8).reshape(-1, 1, 8, 8)
    clf = fast(method=ODIN(epsilon=0.02)).fit(pixels, Y_TRAIN)
    floats = (pixels / np.float32(255)).astype(np.float32)
    twin = fast(method=ODIN(epsilon=0.02)).fit(floats, Y_TRAIN)
    assert_allclose(clf.ood_score(pixels), twin.ood_score(floats), rtol=1e-4)
    assert (clf.ood_score(pixels) != clf.ood_score(pixels, ODIN(epsilon=0))).all()


def test_going_on_fits_the_score_anew():
    """Check that each fit and partial_fit fits the score to its network and rows."""
    clf = fast(method="mahalanobis", warm_start=True).fit(TRAIN, Y_TRAIN)
    first = clf.method_
    means = first.means_.copy()
    for go_on in (
        lambda: clf.fit(TRAIN, Y_TRAIN),
        lambda: clf.partial_fit(TRAIN[:50], Y_TRAIN[:50]),
    ):
        rows = len(TRAIN) if go_on() is clf and clf.n_epochs_ == 20 else 50
        features = clf._view(clf.net_).features(TRAIN[:rows].astype(np.float32))
        expected = [features[Y_TRAIN[:rows] == k].mean(axis=0) for k in range(5)]
        assert_allclose(clf.method_.means_, expected)
    assert_array_equal(first.means_, means)
    clf.partial_fit(TRAIN[Y_TRAIN < 2], Y_TRAIN[Y_TRAIN < 2])
    assert clf.method_.means_.shape == (2, 128)
    clf = fast(method="energy").partial_fit(TRAIN, Y_TRAIN, classes=range(5))
    assert_array_equal(clf.ood_score(TEST), clf.ood_score(TEST, "energy"))


BAD = [
    (ODIN(temperature=0), "'temperature' parameter of ODIN"),
    (ODIN(epsilon=-1), "'epsilon' parameter of ODIN"),
    (GEN(gamma=1.5), "'gamma' parameter of GEN"),
    (GEN(n_top=0), "'n_top' parameter of GEN"),
    (KNN(n_neighbors=0), "'n_neighbors' parameter of KNN"),
    (ReAct(quantile=1.1), "'quantile' parameter of ReAct"),
    (ViM(n_components=0), "'n_components' parameter of ViM"),
    (ViM(n_components=128), "n_components=128 of ViM must be less .* layer, 128"),
]


@pytest.mark.parametrize(("score", "message"), BAD, ids=lambda value: repr(value)[:20])
def test_bad_parameters(score, message):
    """Check that the message names parameter and score, before any training."""
    clf = fast(method=score, max_epochs=10**9)
    with pytest.raises(ValueError, match=message):
        clf.fit(TRAIN, Y_TRAIN)
    with pytest.raises(ValueError, match=message):
        OODDetector(clf.set_params(method="msp"), method=score).fit(TRAIN, Y_TRAIN)


def test_unknown_method(plain):
    """Check that the message has the names, and says that objects may be given."""
    for method in ("mps", KNN, 3):
        with pytest.raises(ValueError, match=r"not a score.*'knn'.*such as ODIN\(\)"):
            plain.ood_score(TEST, method=method)


class FeatureNorm(OODScore):
    """A score of a user's own, with something to learn."""

    needs_fit = True

    def __init__(self, power=1):
        self.power = power

    def fit(self, network, X, y):
        self.mean_ = np.linalg.norm(network.features(X), axis=1).mean()
        return self

    def ood_score(self, network, X):
        return -(
            (np.linalg.norm(network.features(X), axis=1) / self.mean_) ** self.power
        )


@pytest.mark.parametrize(
    "score", [GEN(), ODIN(), KNN(n_neighbors=5), RMD(), ReAct(), ViM(), FeatureNorm()]
)
def test_score_objects(score):
    """Check clones, pickles and searches of classifiers with a score object."""
    clf = clone(fast(method=score)).fit(TRAIN, Y_TRAIN)
    twin = pickle.loads(pickle.dumps(clf))
    assert_array_equal(twin.ood_score(TEST), clf.ood_score(TEST))
    assert (
        clf.method_ is not score and not vars(score).keys() - score.get_params().keys()
    )
    assert type(clf.method_) is type(score)


def test_grid_search():
    """Check that parameters of the score are searched, alone and in a detector."""
    scorer = make_ood_scorer(X_ood=UNKNOWN)
    search = GridSearchCV(
        fast(method=KNN(), max_epochs=3),
        {"method__n_neighbors": [1, 25]},
        scoring=scorer,
        cv=2,
    ).fit(TRAIN, Y_TRAIN)
    few, many = search.cv_results_["mean_test_score"]
    assert few > many
    detector = OODDetector(fast(max_epochs=3), method=KNN(), random_state=0)
    grid = {"method__n_neighbors": [1, 25], "estimator__lr": [1e-3]}
    search = GridSearchCV(detector, grid, scoring=scorer, cv=2).fit(TRAIN, Y_TRAIN)
    assert search.best_params_["method__n_neighbors"] == 1
    assert search.best_estimator_.estimator_.method_.n_neighbors == 1
    grid = {"method": ["msp", KNN(n_neighbors=1), ODIN(epsilon=0.0)]}
    search = GridSearchCV(detector, grid, scoring=scorer, cv=2).fit(TRAIN, Y_TRAIN)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("method", ["knn", Mahalanobis(), "odin", GEN(gamma=0.5)])
@pytest.mark.parametrize("wrap", ["alone", "pipeline", "search"])
def test_detector_fits_the_score_on_its_training_part(method, wrap):
    """Check against a classifier fitted with the method on just that part."""
    clf = fast(max_epochs=3)
    estimator = {
        "alone": clf,
        "pipeline": make_pipeline(FunctionTransformer(np.square), clf),
        "search": GridSearchCV(clf, {"beta": [0.1]}, cv=2),
    }[wrap]
    detector = OODDetector(estimator, method=method, random_state=0)
    detector.fit(TRAIN, Y_TRAIN)
    split = ShuffleSplit(1, test_size=0.2, random_state=0)
    train, held_out = next(split.split(TRAIN))
    samples = np.square(X) if wrap == "pipeline" else X
    expected = fast(max_epochs=3, method=method).fit(samples[train], Y[train])
    confidence = expected.score_samples(samples[held_out])
    assert_allclose(detector.calibration_scores_, np.sort(confidence))
    assert_array_equal(detector.score_samples(X), expected.score_samples(samples))
    assert clf.method == "auto" and not hasattr(clf, "net_")


def test_detector_of_folds():
    """Check that each fold's classifier has a score of its own."""
    detector = OODDetector(fast(max_epochs=3), method="knn", cv=2).fit(TRAIN, Y_TRAIN)
    confidences = [
        fast(max_epochs=3, method="knn")
        .fit(TRAIN[train], Y_TRAIN[train])
        .score_samples(TRAIN[held_out])
        for train, held_out in StratifiedKFold(2).split(TRAIN, Y_TRAIN)
    ]
    assert_allclose(detector.calibration_scores_, np.sort(np.concatenate(confidences)))
    assert detector.estimator_.method_.directions_.shape == (500, 128)


def test_detector_of_a_frozen_classifier(plain):
    """Check that a frozen classifier must have been fitted with the method itself."""
    frozen = FrozenEstimator(refit(None, "knn"))
    detector = OODDetector(frozen, method="knn").fit(TEST)
    expected = np.sort(frozen.estimator.score_samples(TEST))
    assert_allclose(detector.calibration_scores_, expected)
    for estimator in (plain, make_pipeline("passthrough", FrozenEstimator(plain))):
        with pytest.raises(ValueError, match=r"set_params\(method='knn'\)"):
            OODDetector(FrozenEstimator(estimator), method="knn").fit(TEST)
    with pytest.raises(ValueError, match=r"set_params\(method='knn'\)"):
        pipeline = make_pipeline("passthrough", FrozenEstimator(plain))
        OODDetector(pipeline, method="knn").fit(TRAIN, Y_TRAIN)
    assert plain.method == "auto"


@pytest.mark.parametrize("method", [*FITTED, "odin", KNN()])
def test_other_classifiers_have_no_network(method):
    """Check the message for scores that need a network, before anything is fitted."""
    message = r"not a score for LogisticRegression: it needs the network of a Confident"
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    for estimator in (LogisticRegression(), pipeline):
        with pytest.raises(ValueError, match=message):
            OODDetector(estimator, method=method).fit(TRAIN, Y_TRAIN)


def test_score_objects_of_logits_suit_other_classifiers():
    """Check GEN with its parameters over a logistic regression."""
    score = GEN(gamma=0.5, n_top=3)
    detector = OODDetector(LogisticRegression(), method=score, random_state=0)
    detector.fit(TRAIN, Y_TRAIN)
    logits = detector.estimator_.decision_function(TEST)
    assert_allclose(detector.ood_score(TEST), gen(logits, 0.5, 3), rtol=1e-9)
