# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the scores of features, against SciPy and scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import normalize

from confident_clf.scores import (
    KNN,
    RMD,
    Mahalanobis,
    ReAct,
    ViM,
    energy,
    knn,
    mahalanobis,
    rmd,
)
from confident_clf.scores._blocks import times
from confident_clf.scores._gaussian import class_means, whitening
from tests.scores.networks import SmoothNetwork

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(300, 4)), rng.integers(3, size=300)
X[:, 0] += 4 * Y
NEW = 3 * rng.normal(size=(40, 4))
SCORES = [KNN(n_neighbors=3), Mahalanobis(), RMD(), ReAct(), ViM(n_components=3)]


class Features:
    """A network whose features are its samples."""

    def __init__(self, n_features=4, n_classes=3, n_outputs=None):
        self.n_classes = n_classes
        n_outputs = n_outputs or n_classes
        random = np.random.default_rng(1)
        self.layer = (
            random.normal(size=(n_outputs, n_features)),
            random.normal(size=n_outputs),
        )

    def features(self, X):
        return X

    def head(self, X):
        return self.layer


def test_knn():
    """Check the distance of directions to the 7th nearest by sorting all."""
    unit = [Z / np.linalg.norm(Z, axis=1, keepdims=True) for Z in (NEW, X)]
    expected = np.sort(cdist(*unit), axis=1)[:, 6]
    assert_allclose(knn(NEW, X, 7), expected, rtol=1e-12)
    score = KNN(n_neighbors=7).fit(Features(), X, Y)
    assert_array_equal(score.ood_score(Features(), NEW), knn(NEW, X, 7))


def test_knn_of_known_and_few_rows():
    """Check that copies are at distance 0 exactly, and k above the number of rows."""
    assert_array_equal(knn(2 * X, X, 1), np.zeros(300))
    assert_allclose(knn(NEW, X[:5], 50), knn(NEW, X[:5], 5))
    assert_allclose(knn([[0.0, 0, 0, 0]], X), [1.0])  # no direction


def covariances():
    """Return the covariances within classes and of all, by scikit-learn."""
    means = np.stack([X[Y == k].mean(axis=0) for k in range(3)])
    within = EmpiricalCovariance(assume_centered=True).fit(X - means[Y])
    return means, within, EmpiricalCovariance().fit(X)


def distances(means, covariance):
    """Return squared distances to the nearest mean, by SciPy."""
    covariance = covariance + 1e-6 * np.trace(covariance) / 4 * np.eye(4)
    VI = np.linalg.inv(covariance)
    return cdist(NEW, means, "mahalanobis", VI=VI).min(axis=1) ** 2


def test_mahalanobis():
    """Check against scikit-learn's distances to each class mean."""
    means, within, _ = covariances()
    expected = np.min([within.mahalanobis(NEW - mean) for mean in means], axis=0)
    score = Mahalanobis().fit(Features(), X, Y)
    assert_allclose(score.ood_score(Features(), NEW), expected, rtol=1e-5)
    # To rounding with the little that is added to the variances.
    expected = distances(means, within.covariance_)
    assert_allclose(score.ood_score(Features(), NEW), expected, rtol=1e-10)
    # Linear discriminant analysis takes the class with the nearest mean.
    lda = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(X, Y)
    nearest = cdist(
        times(NEW, score.whitening_), times(score.means_, score.whitening_)
    ).argmin(axis=1)
    assert_array_equal(nearest, lda.predict(NEW))


def test_rmd():
    """Check against the difference of scikit-learn's distances."""
    means, within, overall = covariances()
    of_classes = np.min([within.mahalanobis(NEW - mean) for mean in means], axis=0)
    score = RMD().fit(Features(), X, Y)
    expected = of_classes - overall.mahalanobis(NEW)
    assert_allclose(score.ood_score(Features(), NEW), expected, atol=2e-3)
    # To rounding with the little that is added to the variances.
    of_all = distances(X.mean(axis=0)[None], overall.covariance_)
    expected = distances(means, within.covariance_) - of_all
    assert_allclose(score.ood_score(Features(), NEW), expected, atol=1e-9)
    whitenings = score.whitening_, score.mean_, score.whitening_of_all_
    assert_array_equal(
        score.ood_score(Features(), NEW), rmd(NEW, score.means_, *whitenings)
    )


@pytest.mark.parametrize("n_outputs", [3, 4])
def test_react(n_outputs):
    """Check against the energy of clipped features, relative to that of rejection."""
    network = Features(n_outputs=n_outputs)
    weight, bias = network.layer
    clipped = np.minimum(NEW, np.quantile(X.ravel(), 0.8))
    logits = clipped @ weight.T + bias
    expected = -logsumexp(logits[:, :3], axis=1)
    if n_outputs == 4:
        expected += logits[:, 3]
    score = ReAct(quantile=0.8).fit(network, X, Y)
    assert_allclose(score.ood_score(network, NEW), expected, rtol=1e-10)


def test_react_that_clips_nothing_is_energy():
    """Check the limit of a quantile of 1 on the training samples themselves."""
    network = SmoothNetwork()
    score = ReAct(quantile=1.0).fit(network, X, Y)
    assert_allclose(score.ood_score(network, X), energy(network(X)), rtol=1e-12)


@pytest.mark.parametrize("n_outputs", [3, 4])
def test_vim(n_outputs):
    """Check eq. (5) to (7) with the residual from scikit-learn's PCA."""
    network = Features(5, n_outputs=n_outputs)
    X5, NEW5 = (np.c_[Z, Z[:, :1] * Z[:, 1:2]] for Z in (X, NEW))
    weight, bias = network.layer
    origin = -np.linalg.lstsq(weight, bias, rcond=None)[0]
    # PCA around the origin, not the mean: of the features and their mirror images.
    mirrored = np.r_[X5 - origin, origin - X5]
    pca = PCA(2).fit(mirrored)

    def residual(Z):
        return np.linalg.norm(
            Z - origin - pca.inverse_transform(pca.transform(Z - origin)), axis=1
        )

    def logits(Z):
        outputs = Z @ weight.T + bias
        return outputs[:, :3] - (outputs[:, 3:] if n_outputs == 4 else 0)

    alpha = logits(X5).max(axis=1).mean() / residual(X5).mean()
    none = [alpha * residual(NEW5)[:, None], np.zeros((40, n_outputs - 3))]
    p = softmax(np.hstack([logits(NEW5), *none]), axis=1)[:, 3:].sum(axis=1)
    score = ViM(n_components=2).fit(network, X5, Y)
    assert score.alpha_ == pytest.approx(abs(alpha))
    virtual = score.ood_score(network, NEW5)
    assert_allclose(virtual, np.log(p / (1 - p)), rtol=1e-7)


def test_vim_with_a_null_space_of_dead_units():
    """Check that rounding is not blown up, and that a dead unit that fires counts."""
    network = Features(5)
    network.layer = np.c_[network.layer[0][:, :4], np.zeros(3)], network.layer[1]
    dead = np.c_[X, np.zeros(300)]
    score = ViM(n_components=4).fit(network, dead, Y)
    of_known = score.ood_score(network, dead)
    logits = dead @ network.layer[0].T + network.layer[1]
    assert_allclose(of_known, np.log(1) - logsumexp(logits, axis=1), atol=1e-6)
    assert (score.ood_score(network, dead + np.eye(5)[4]) > of_known.max()).all()


def test_vim_takes_half_of_the_features():
    """Check the default dimension of the principal space, and the error beyond."""
    assert ViM().fit(Features(), X, Y).null_space_.shape == (4, 2)
    # Around an origin that has no value in the dead unit either.
    network = Features(5)
    network.layer = np.c_[network.layer[0][:, :4], np.zeros(3)], network.layer[1]
    dead = np.c_[X, np.zeros(300)]
    assert ViM().fit(network, dead, Y).null_space_.shape == (5, 3)
    for n_components in (4, 9):
        with pytest.raises(ValueError, match=rf"={n_components} of ViM .* layer, 4\."):
            ViM(n_components=n_components).check(Features(), X)


def degenerate(case):
    """Return training features, classes, more of the same, and unknown features."""
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    known = random.normal(size=(120, 30)) + 4 * np.eye(30)[np.r_[y, y]] + 2
    unknown = known[:20].copy()
    if case == "dead units":
        known[:, 20:] = 0
        unknown[:, 20:] = 3 * random.random(size=(20, 10))
    if case == "fewer samples than features":
        train, y = known[:16], y[:16]
        return train, y, known[60:], 5 * random.normal(size=(20, 30)) - 4
    if case == "features that agree":
        known[:, 15:] = known[:, :15]
        unknown[:, 15:] += 5
    if case == "one sample of a class":
        y[:60] = 0
        y[1] = 1
        unknown = -unknown
    return known[:60], y, known[60:], unknown


CASES = [
    "dead units",
    "fewer samples than features",
    "features that agree",
    "one sample of a class",
]


# One case has a class of one row; test_more_neighbors_than_a_class_has is about that.
@pytest.mark.filterwarnings("ignore:n_neighbors=3 of KNN")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("score", SCORES, ids=repr)
def test_degenerate_features(score, case):
    """Check that singular covariances give finite scores, ranked the right way.

    How ViM, ReAct and RMD rank depends on the head, or on the nearness of the unknown.
    """
    X_train, y, known, unknown = degenerate(case)
    network = Features(30, 2)
    score = clone(score).fit(network, X_train, y)
    of_known = score.ood_score(network, known)
    of_unknown = score.ood_score(network, unknown)
    assert np.isfinite(of_known).all() and np.isfinite(of_unknown).all()
    if isinstance(score, (KNN, Mahalanobis)):
        assert np.median(of_unknown) > np.quantile(of_known, 0.9)


@pytest.mark.parametrize("score", SCORES, ids=repr)
def test_constant_features(score):
    """Check that a network whose units are all dead gives finite scores."""
    network = Features()
    score = clone(score).fit(network, np.zeros((20, 4)), np.arange(20) % 3)
    scores = score.ood_score(network, np.r_[np.zeros((2, 4)), NEW])
    assert np.isfinite(scores).all()
    assert scores[0] == scores[1]


@pytest.mark.parametrize("score", SCORES, ids=repr)
def test_rows_alone_as_in_a_batch(score):
    """Check bit equality of the scores of rows alone, in a batch and in any order."""
    network = Features(30)
    X_many, new = np.random.default_rng(0).normal(size=(2, 600, 30))
    score = clone(score).fit(network, X_many, np.arange(600) % 3)
    scores = score.ood_score(network, new)
    assert scores.dtype == np.float64
    alone = [score.ood_score(network, row[None])[0] for row in new[::29]]
    assert_array_equal(scores[::29], alone)
    assert_array_equal(score.ood_score(network, new[::-1]), scores[::-1])


def test_whitening():
    """Check that whitened residuals have the covariance 1, whatever their scale."""
    mixed = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6))
    for scale in (1e-6, 1.0, 1e6):
        white = scale * mixed @ whitening(scale * mixed)
        assert_allclose(white.T @ white / 500, np.eye(6), atol=1e-3)


def test_class_means():
    """Check means and residuals of classes that are not numbered in a row."""
    means, residuals = class_means(np.array([[1.0], [3.0], [9.0]]), np.array([0, 0, 7]))
    assert_array_equal(means, [[2], [9]])
    assert_array_equal(residuals, [[-1], [1], [0]])


def test_distances_far_from_the_origin():
    """Check that a common shift of all features costs no digits."""
    means = np.array([[0.0, 0.0], [1.0, 0.0]])
    rows = rng.normal(size=(50, 2))
    shifted = mahalanobis(rows + 2**20, means + 2**20, np.eye(2))
    assert_allclose(shifted, mahalanobis(rows, means, np.eye(2)), rtol=1e-8)


@pytest.mark.parametrize(
    ("sizes", "k"), [((700, 900), 7), ((9, 500), 1), ((9999,), 50)]
)
def test_neighbors_of_auto(sizes, k):
    """Check that k is a hundredth of the smallest class, from 1 to 50."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    features = np.random.default_rng(0).normal(size=(len(y), 3))
    score = KNN().fit(Features(3, 2), features, y)
    assert score.n_neighbors_ == k
    expected = knn(features[:20], features, k)
    assert_allclose(score.ood_score(Features(3, 2), features[:20]), expected)


@pytest.mark.parametrize("n_neighbors", [30, 31, 5000])
def test_more_neighbors_than_a_class_has(n_neighbors):
    """Check the warning, and the k that is used instead."""
    y = np.repeat([0, 1], [30, 70])
    features = np.random.default_rng(0).normal(size=(100, 3))
    score = KNN(n_neighbors=n_neighbors)
    with pytest.warns(UserWarning, match="30 rows of the smallest class"):
        score.fit(Features(3, 2), features, y)
    assert score.n_neighbors_ == 1
    assert KNN(n_neighbors=29).fit(Features(3, 2), features, y).n_neighbors_ == 29


def test_some_samples_of_each_class():
    """Check that a rare class keeps its rows, and the others share what is left."""
    y = np.repeat([0, 1, 2], [500, 3, 400])
    features = np.random.default_rng(0).normal(size=(903, 4))
    score = KNN(n_samples=90).fit(Features(4, 3), features, y)
    kept = (
        (score.directions_[:, None] == normalize(features)).all(axis=2).argmax(axis=1)
    )
    assert np.bincount(y[kept]).tolist() == [30, 3, 30]
    assert len(np.unique(kept)) == 63
