# SPDX-License-Identifier: BSD-3-Clause
"""Tests of fused scores, of scores of the inputs, and of the default score."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector, load, save
from confident_clf.metrics import auroc
from confident_clf.modules import MLP
from confident_clf.scores import (
    GEN,
    KNN,
    ODIN,
    AutoScore,
    Fused,
    InputScore,
    Mahalanobis,
    OODScore,
    gen,
    rarity,
)
from tests.scores.networks import SmoothNetwork

fast = partial(ConfidentClassifier, max_epochs=5, lr=0.01, random_state=0)
RNG = np.random.default_rng(0)
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)


def test_rarity_of_exponential_values():
    """Check that the rarity of a standard exponential variable is the variable."""
    reference = RNG.exponential(size=200_000)
    s = np.array([0.1, 1.0, 2.0, 4.0, 30.0])
    assert_allclose(rarity(s, reference), s, rtol=0.03)


@pytest.mark.parametrize(
    "draw", [RNG.normal, RNG.uniform, RNG.standard_t], ids=["normal", "uniform", "t"]
)
def test_rarity_of_known_samples_is_exponential(draw):
    """Check by Kolmogorov and Smirnov that in-distribution rarities are Exp(1)."""
    args = (3,) if draw == RNG.standard_t else ()
    reference, new = draw(*args, size=200_000), draw(*args, size=4000)
    # The tail is an approximation: compare what is below its start.
    rarities = np.minimum(rarity(new, reference), 2.2)
    expected = np.minimum(RNG.exponential(size=4000), 2.2)
    assert stats.ks_2samp(rarities, expected).pvalue > 0.001


def test_rarity_counts():
    """Check the count of reference values that are as high, ties included."""
    reference = [1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    counts = [12, 11, 8]
    expected = [-np.log((1 + count) / 13) for count in counts]
    assert_allclose(rarity([1.0, 2.0, 3.0], reference), expected)
    between = rarity([2.5], reference)
    assert expected[1] < between < expected[2]


@pytest.mark.parametrize("reference", [[3.0], [3.0, 3.0, 3.0], [0.0] * 9, [1.0, 2.0]])
def test_rarity_grows_without_end(reference):
    """Check order and finiteness where the reference shows no tail."""
    values = rarity([-1e9, 0.0, 3.0, 3.1, 4.0, 1e9], reference)
    assert np.isfinite(values).all() and (values >= 0).all()
    assert (np.diff(values) >= 0).all() and values[-1] > values[-2] > values[0]


def test_rarity_of_infinite_scores_and_nan():
    """Check that an infinite score is infinitely rare, and NaN stays NaN."""
    values = rarity([np.inf, -np.inf, np.nan], [1.0, 2.0, 3.0])
    assert values[0] == np.inf and values[1] == 0 and np.isnan(values[2])


def test_sum_of_rarities():
    """Check the fused score against its formula, with folds of scikit-learn."""
    network, rng = SmoothNetwork(), np.random.default_rng(1)
    X, y, new = rng.normal(size=(60, 4)), np.arange(60) % 3, rng.normal(size=(9, 4)) * 3
    fused = Fused(["gen", Mahalanobis()]).fit(network, X, y)
    held_out = []
    for train, test in KFold(5, shuffle=True, random_state=0).split(X):
        score = Mahalanobis().fit(network, X[train], y[train])
        held_out.append(score.ood_score(network, X[test]))
    of_features = Mahalanobis().fit(network, X, y).ood_score(network, new)
    expected = rarity(gen(network(new)), gen(network(X))) + rarity(
        of_features, np.concatenate(held_out)
    )
    assert_allclose(fused.ood_score(network, new), expected, rtol=1e-9)


def test_one_part_is_held_out_of_many_rows():
    """Check that with many rows 2,000 references remain, of rows not fitted on."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10_500, 4))
    fused = Fused([KNN(), InputScore(KernelDensity())])
    fused.fit(SmoothNetwork(), X, np.arange(len(X)) % 3)
    assert [len(values) for values in fused.references_] == [2000, 2000]
    # The nearest neighbour of a row that was fitted on is the row itself.
    fused = Fused([KNN(n_neighbors=1)]).fit(SmoothNetwork(), X, np.arange(len(X)) % 3)
    assert fused.references_[0].min() > 0


class Counting(SmoothNetwork):
    """Counts how many rows go through it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rows = 0

    def features(self, X):
        self.rows += len(X)
        return super().features(X)


def test_one_pass_through_the_network():
    """Check that several scores share the features of the samples."""
    network, rng = Counting(), np.random.default_rng(0)
    X, y = rng.normal(size=(50, 4)), np.arange(50) % 3
    fused = Fused(["mahalanobis", "rmd", "knn"]).fit(network, X, y)
    assert network.rows == 50
    fused.ood_score(network, X[:7])
    assert network.rows == 57


def worst(confidences):
    """Return the lowest AUROC of known rows against several unknown ones."""
    known, *unknown = confidences
    return min(
        auroc(np.repeat([1, 0], [len(known), len(u)]), np.concatenate([known, u]))
        for u in unknown
    )


class Constant(OODScore):
    """The same for all samples."""

    def ood_score(self, network, X):
        return np.ones(len(X))


class Inverted(OODScore):
    """Lower for samples that are farther away."""

    def ood_score(self, network, X):
        return -np.linalg.norm(X, axis=1)


@pytest.mark.parametrize("other", [Constant(), Inverted(), ODIN()], ids=repr)
def test_a_bad_score_does_little_harm(other):
    """Check that a score that is useless or wrong costs little beside a good one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)), np.arange(300) % 3
    known, far = rng.normal(size=(300, 4)), rng.normal(size=(300, 4)) * 6
    network = SmoothNetwork()
    good = InputScore(GaussianMixture(random_state=0))
    alone, both = (
        worst([-s.fit(network, X, y).ood_score(network, Z) for Z in (known, far)])
        for s in (clone(good), Fused([good, other]))
    )
    assert alone > 0.98 and both > alone - 0.02


@pytest.mark.parametrize(
    "detector",
    [
        LocalOutlierFactor(),
        LocalOutlierFactor(5, novelty=True),
        IsolationForest(n_estimators=10, random_state=0),
        OneClassSVM(),
        EllipticEnvelope(random_state=0),
        GaussianMixture(random_state=0),
        KernelDensity(),
        make_pipeline(StandardScaler(), KernelDensity()),
    ],
    ids=lambda d: type(d).__name__,
)
def test_outlier_detectors_of_the_inputs(detector):
    """Check values, and that the user's detector stays as it was."""
    clf = fast(method=[detector]).fit(X, Y)
    (score,) = clf.method_.scores_
    twin = clone(detector)
    if "novelty" in twin.get_params():
        twin.set_params(novelty=True)
    inputs = X.astype(np.float32).astype(np.float64)
    expected = -twin.fit(inputs).score_samples(inputs)
    network = clf._view(clf.net_)
    assert_allclose(score.ood_score(network, X.astype(np.float32)), expected)
    assert not hasattr(detector, "n_features_in_") and not hasattr(detector, "tree_")


def test_detectors_see_images_as_rows_of_pixels():
    """Check that bytes are scaled to [0, 1] and flattened."""
    images = RNG.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    images[1::2, :, 4:] = 0
    clf = ConfidentClassifier(
        ood_source=None, max_epochs=1, method=[KernelDensity()], random_state=0
    ).fit(images, np.arange(40) % 2)
    (score,) = clf.method_.scores_
    pixels = images.reshape(40, 64) / np.float32(255)
    expected = KernelDensity().fit(pixels).score_samples(pixels)
    assert_allclose(-score.ood_score(clf._view(clf.net_), images), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        ["gen", "mahalanobis"],
        ["gen", KNN(n_neighbors=2), LocalOutlierFactor()],
        [ODIN(), InputScore(GaussianMixture(random_state=0))],
        Fused(["energy", "vim"]),
        "auto",
        AutoScore(),
    ],
    ids=str,
)
class TestOfAClassifier:
    """Fused scores as `method` of a classifier."""

    def test_clone_pickle_and_repeat(self, method):
        """Check that copies score the same, in any batch."""
        clf = clone(fast(method=method)).fit(X, Y)
        scores = clf.ood_score(X)
        assert_array_equal(pickle.loads(pickle.dumps(clf)).ood_score(X), scores)
        assert_array_equal(clone(clf).fit(X, Y).ood_score(X), scores)
        assert_allclose([clf.ood_score(row[None])[0] for row in X[:9]], scores[:9])
        assert_array_equal(clf.ood_score(X, method=method), scores)

    def test_fit_method(self, method):
        """Check that it can be fitted later, with the same result."""
        later = fast(method="msp").fit(X, Y).set_params(method=method).fit_method(X, Y)
        assert_allclose(later.ood_score(X), fast(method=method).fit(X, Y).ood_score(X))

    def test_detector(self, method):
        """Check that a detector fits the score, and refuses rows that are far."""
        detector = OODDetector(fast(method="msp"), method=method, random_state=0)
        detector.fit(X, Y)
        assert (detector.predict(X) == 1).mean() > 0.85
        assert (detector.predict(X * 50 + 50) == -1).all()


@pytest.mark.parametrize("method", ["auto", ["gen", "knn"], [GEN(gamma=0.5), "vim"]])
def test_files(tmp_path, method):
    """Check that a file gives the same scores."""
    detector = OODDetector(fast(method=method), random_state=0).fit(X, Y)
    save(detector, tmp_path / "it.safetensors")
    loaded = load(tmp_path / "it.safetensors")
    assert_array_equal(loaded.score_samples(X), detector.score_samples(X))
    scores = loaded.estimator_.method_.scores_
    assert [type(s) for s in scores] == [
        type(s) for s in detector.estimator_.method_.scores_
    ]


def test_a_score_of_the_inputs_in_a_file(tmp_path):
    """Check that a density is kept, and that a tree is refused by its name."""
    density = [InputScore(GaussianMixture(random_state=0)), "gen"]
    clf = fast(method=density).fit(X, Y)
    save(clf, tmp_path / "it.safetensors")
    loaded = load(tmp_path / "it.safetensors")
    assert_array_equal(loaded.ood_score(X), clf.ood_score(X))
    clf = fast(method=[IsolationForest(n_estimators=5, random_state=0)]).fit(X, Y)
    with pytest.raises(ValueError, match="IsolationForest"):
        save(clf, tmp_path / "it.safetensors")


def test_search_over_methods():
    """Check a grid of names, lists and objects, and over a parameter inside."""
    grid = {"method": ["auto", "msp", ["gen", "rmd"], Fused(["knn"])]}
    search = GridSearchCV(fast(max_epochs=1), grid, cv=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    fused = Fused(["gen"])
    grid = {"method__scores": [["gen"], ["gen", "knn"]]}
    GridSearchCV(fast(max_epochs=1, method=fused), grid, cv=2).fit(X, Y)
    assert fused.scores == ["gen"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ([], "must be a list of scores"),
        (["nothing"], "'nothing' is not a score"),
        (["gen", 3], "3 is not a score"),
        (["gen", ["knn"]], "is not a score"),
        (["auto"], "'auto' is not a score"),
        ([StandardScaler()], "is not a score"),
        ([KNN(n_neighbors=0)], "n_neighbors"),
    ],
)
def test_bad_lists(method, message):
    """Check that they are refused before any training."""
    clf = fast(method=method)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")


def test_a_list_does_not_score_a_classifier_without_network():
    """Check the message for a detector around another classifier."""
    forest = make_pipeline(IsolationForest())
    with pytest.raises(ValueError, match="needs the network of a ConfidentClassifier"):
        OODDetector(forest, method=["gen", "knn"]).fit(X, Y)


class NoLinear(nn.Module):
    """A network without any linear layer."""

    def __init__(self, shape, n_outputs):
        super().__init__()
        self.hidden = nn.Conv1d(int(np.prod(shape)), 64, 1)
        self.outputs = nn.Conv1d(64, n_outputs, 1)

    def forward(self, x):
        return self.outputs(self.hidden(x.flatten(1)[..., None]).relu())[..., 0]


def test_what_auto_becomes():
    """Check the scores for rows and images, with and without a last linear layer."""
    images = RNG.random((30, 1, 8, 8), dtype=np.float32)
    y = np.arange(30) % 2

    def scores(data, **params):
        clf = ConfidentClassifier(max_epochs=1, random_state=0, **params)
        return [repr(score) for score in clf.fit(data, y).method_.scores_]

    rows = images.reshape(30, 64)
    assert scores(rows) == [
        "NamedScore(name='energy')",
        "Mahalanobis()",
        "KNN(n_samples=2000)",
    ]
    wide = partial(MLP, hidden=(1500,))
    assert [name.split("(")[0] for name in scores(rows, module=wide)] == [
        "NamedScore",
        "KNN",
    ]
    assert scores(images) == ["GEN()", "KNN(n_samples=2000)"]
    assert scores(images, module=NoLinear) == ["GEN()"]
    assert [name.split("(")[0] for name in scores(rows, module=NoLinear)] == [
        "NamedScore",
        "InputScore",
    ]


@pytest.mark.parametrize("module", [None, NoLinear], ids=str)
def test_defaults_refuse_rows_with_a_wrong_unit(module):
    """Check wine: one feature of each row times 1000 is refused, and not likely."""
    X, y = load_wine(return_X_y=True)
    clf = make_pipeline(
        StandardScaler(), ConfidentClassifier(module, random_state=0)
    ).fit(X[::2], y[::2])
    broken = X[1::2].copy()
    broken[np.arange(len(broken)), RNG.integers(13, size=len(broken))] *= 1000
    scale, network = clf
    known, wrong = (
        network.score_samples(scale.transform(Z)) for Z in (X[1::2], broken)
    )
    assert known.min() > wrong.max()
    if module is None:
        assert clf.score(X[1::2], y[1::2]) > 0.9
        assert clf.predict_proba(broken).max() < 0.5
        assert np.median(clf.predict_proba(X[1::2]).max(axis=1)) > 0.85


def test_threads_do_not_change_the_score():
    """Check that the default score is the same on one thread and on two."""
    clf = fast().fit(X, Y)
    before = clf.ood_score(X)
    torch.set_num_threads(2)
    try:
        assert_array_equal(clf.ood_score(X), before)
    finally:
        torch.set_num_threads(1)
