# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ConfidentClassifierCV: which beta is chosen, on what, and at what cost."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
)
from confident_clf.metrics import auroc_scorer, make_ood_scorer
from confident_clf.model_selection import LeaveClassesOut

X, Y = make_blobs(200, centers=5, center_box=(-4, 4), random_state=1)
X_OOD = np.random.default_rng(0).uniform(-9, 9, size=(40, 2))


class Nearest(ClassifierMixin, BaseEstimator):
    """Classifier by the nearest mean that notes how it is fitted."""

    fits = []

    def __init__(
        self,
        beta=0.1,
        max_epochs=16,
        warm_start=False,
        checkpoint=None,
        random_state=None,
    ):
        self.beta = beta
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.random_state = random_state

    def fit(self, X, y, X_ood=None):
        """Keep the means, and note what was asked for."""
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == label].mean(axis=0) for label in self.classes_])
        self.X_ood_, self.y_ = X_ood, y
        self.fits.append(self)
        return self

    def predict(self, X):
        """Return the class of the nearest mean."""
        return self.classes_[self._distances(X).argmin(axis=1)]

    def score_samples(self, X):
        """Return minus the distance to the nearest mean."""
        return -self._distances(X).min(axis=1)

    def _distances(self, X):
        return np.linalg.norm(np.asarray(X)[:, None] - self.means_, axis=2)


@pytest.fixture
def fits():
    """Return the list of the fits that a test makes."""
    Nearest.fits.clear()
    return Nearest.fits


def peak(estimator, X, y):
    """Score best where beta is 0.3."""
    return -abs(np.log(estimator.beta / 0.3))


def constant(estimator, X, y):
    """Score all betas alike."""
    return 1.0


def fast(**params):
    """Return a classifier that is fitted in a moment."""
    params = {"ood_source": "noise", "max_epochs": 9, "lr": 0.01} | params
    return ConfidentClassifier(**params, random_state=0)


def test_by_hand():
    """Check scores and the classifier in the end by fits that go on, made by hand."""
    scorer = make_ood_scorer(X_ood="permuted")
    splits = list(LeaveClassesOut(2, n_splits=2, random_state=0).split(X, Y))
    search = ConfidentClassifierCV(fast(), betas=[1, 0.1, 0.5], cv=splits).fit(X, Y)
    assert_array_equal(search.cv_results_["param_beta"], [0.1, 0.5, 1])
    for i, (train, test) in enumerate(splits):
        for j, beta in enumerate([0.1, 0.5, 1]):
            clf = fast().fit(X[train], Y[train])
            clf.set_params(beta=beta, max_epochs=3, warm_start=True)
            score = scorer(clf.fit(X[train], Y[train]), X[test], Y[test])
            assert search.cv_results_[f"split{i}_test_score"][j] == score
    scores = np.array([search.cv_results_[f"split{i}_test_score"] for i in range(2)])
    assert_allclose(search.cv_results_["mean_test_score"], scores.mean(axis=0))
    assert_allclose(search.cv_results_["std_test_score"], scores.std(axis=0))
    assert search.best_score_ == scores.mean(axis=0).max()
    assert search.beta_ == [0.1, 0.5, 1][scores.mean(axis=0).argmax()]
    alone = fast(beta=search.beta_).fit(X, Y)
    assert_array_equal(search.ood_score(X), alone.ood_score(X))


@pytest.mark.parametrize("n_betas, n_epochs", [(1, 16), (8, 2), (20, 1)])
def test_price(n_betas, n_epochs, fits):
    """Check all fits: for every split one, and copies that share as many epochs."""
    betas = np.geomspace(0.1, 1, n_betas)
    search = ConfidentClassifierCV(Nearest(), betas=betas, scoring=peak).fit(X, Y)
    asked = [(fit.beta, fit.max_epochs, fit.warm_start) for fit in fits]
    split = [(0.1, 16, False), *((beta, n_epochs, True) for beta in betas)]
    assert asked == [*split * 3, (search.beta_, 16, False)]
    n_rows = [len(fit.y_) for fit in fits[:: n_betas + 1]]
    assert n_rows.pop() == 200 and sum(n_rows) < 1.5 * 200
    assert search.best_estimator_ is fits[-1]
    assert search.best_score_ == -abs(np.log(betas / 0.3)).min()


@pytest.mark.parametrize("own, chosen", [(0.1, 0.1), (0.04, 0.05), (9, 2), (0, 0.01)])
def test_ties(own, chosen):
    """Check that scores that say nothing leave beta where it was, or nearest to it."""
    search = ConfidentClassifierCV(Nearest(own), cv=2, scoring=constant).fit(X, Y)
    assert search.beta_ == chosen
    # As far from 0.1, in ratio: the smaller.
    search = ConfidentClassifierCV(Nearest(), betas=[0.2, 0.05], cv=2, scoring=constant)
    assert search.fit(X, Y).beta_ == 0.05


@pytest.mark.parametrize("n_classes, n_splits", [(3, 3), (4, 2), (5, 3), (10, 3)])
def test_default_splits(n_classes, n_splits, fits):
    """Check that every class is held out, a third at a time, and others tested too."""
    X, y = make_blobs(10 * n_classes, centers=n_classes, random_state=0)
    tested = []

    def scoring(estimator, X, y):
        tested.append((estimator, y))
        return 0.0

    search = ConfidentClassifierCV(Nearest(), betas=[1], scoring=scoring)
    search.set_params(random_state=0).fit(X, y)
    assert len(tested) == n_splits
    held_out = [np.setdiff1d(y, fit.classes_) for fit, _ in tested]
    assert set(np.concatenate(held_out)) == set(y)
    for out, (fit, labels) in zip(held_out, tested, strict=True):
        assert len(out) == np.ceil(n_classes / 3)
        counts = np.bincount(labels)
        assert (counts[out] == 10).all() and (counts[fit.classes_] == 3).all()
        assert (np.bincount(fit.y_)[fit.classes_] == 7).all()


def test_ood_rows_are_always_trained_with():
    """Check that labelled OOD rows are no class to hold out, nor to test on."""
    y = np.where(Y == 4, -1, Y)
    tested = []

    def scoring(estimator, X, y):
        tested.append(set(y.tolist()))
        assert len(estimator.net_.source_.rows) == 40  # all that there are
        return auroc_scorer(estimator, X, y)

    clf = fast(ood_source="explicit", ood_label=-1, max_epochs=3)
    search = ConfidentClassifierCV(clf, betas=[1], scoring=scoring, random_state=0)
    assert search.fit(X, y).classes_.tolist() == [0, 1, 2, 3]
    assert tested == [{0, 1, 2, 3}] * 2


class Lengths(Nearest):
    """The same classifier of texts, by their lengths."""

    def fit(self, X, y, X_ood=None):
        """Keep the mean lengths."""
        return super().fit(np.array([[len(x)] for x in X]), np.asarray(y))

    def _distances(self, X):
        return super()._distances([[len(x)] for x in X])


class Dense(Nearest):
    """The same classifier, of sparse matrices."""

    def fit(self, X, y, X_ood=None):
        """Keep the means."""
        return super().fit(X.toarray(), y)

    def _distances(self, X):
        return super()._distances(X.toarray())


@pytest.mark.parametrize(
    "estimator, X",
    [(Lengths(), ["a" * n for n in 5 * Y + 1]), (Dense(), csr_array(X))],
    ids=["texts", "sparse"],
)
def test_nothing_to_permute(estimator, X):
    """Check that held-out classes alone are scored where X cannot be permuted."""
    scores = [
        ConfidentClassifierCV(estimator, scoring=scoring, random_state=0)
        .fit(X, Y)
        .best_score_
        for scoring in (None, auroc_scorer)
    ]
    assert scores[0] == scores[1] > 0.5


@pytest.mark.parametrize("y", [Y % 2, np.repeat([0, 1, 2], [100, 98, 2])])
def test_splits_where_no_class_can_be_held_out(y, fits):
    """Check the splits of two classes, and of a class of two rows."""
    ConfidentClassifierCV(Nearest(), betas=[1], random_state=0).fit(X, y)
    assert [len(fit.y_) for fit in fits] == [100] * 4 + [200]
    assert all(len(fit.classes_) == len(np.unique(y)) for fit in fits)


class CannotFit(Nearest):
    """Classifier that must not be fitted."""

    def fit(self, X, y):
        """Raise an error that no test expects."""
        raise AssertionError("fit was called")


@pytest.mark.parametrize(
    "params, y, error, message",
    [
        ({"betas": []}, Y, ValueError, r"a list of at least one number; got \[\]"),
        ({"betas": [[0.1]]}, Y, ValueError, "a list of at least one number"),
        ({"betas": ["high"]}, Y, ValueError, "at least one number; got .'high'"),
        ({"betas": 0.1}, Y, ValueError, "'betas' parameter"),
        ({"betas": [0.1, 0]}, Y, ValueError, r"above 0; .*ood_source=None"),
        ({"betas": [-1.0]}, Y, ValueError, "finite and above 0"),
        ({"betas": [np.nan, 1]}, Y, ValueError, "finite and above 0"),
        ({"method": "best"}, Y, ValueError, "'method' parameter"),
        ({"scoring": "best"}, Y, ValueError, "'scoring' parameter"),
        ({"estimator__max_epochs": 0}, Y, ValueError, "max_epochs == 0, must be >= 1"),
        ({"estimator__beta": -1}, Y, ValueError, "beta == -1, must be >= 0"),
        ({"estimator": LogisticRegression()}, Y, TypeError, "LogisticRegression has 0"),
        (
            {"estimator": make_pipeline(CannotFit(), CannotFit())},
            Y,
            TypeError,
            "Pipeline has 2",
        ),
        ({}, np.zeros(200), ValueError, r"at least two .* one class, \[0.0\]"),
        ({}, Y + 0.5, ValueError, "continuous"),
        ({}, Y[:-1], ValueError, "inconsistent numbers of samples"),
        ({"cv": LeaveClassesOut(4)}, Y, ValueError, "n_held_out=4 of 5 classes"),
    ],
)
def test_refused(params, y, error, message):
    """Check that bad input is refused before anything is fitted."""
    search = ConfidentClassifierCV(CannotFit()).set_params(**params)
    with pytest.raises(error, match=message):
        search.fit(X, y)


def test_refused_fit_changes_nothing():
    """Check that a fit that raises leaves the earlier fit as it was."""
    search = ConfidentClassifierCV(fast(max_epochs=3), betas=[1]).fit(X, Y)
    before = dict(vars(search))
    for data in [(np.where(X > 2, np.nan, X), Y), (X, np.zeros(200))]:
        with pytest.raises(ValueError, match=r"\w"):
            search.fit(*data)
    assert vars(search) == before


def test_random_state():
    """Check that one seed rules splits and fits, and no global one moves."""
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    clf = clone(fast(max_epochs=3)).set_params(random_state=None)
    search = ConfidentClassifierCV(clf, betas=[0.1, 1], random_state=3)
    one = search.fit(X, Y).cv_results_
    scores = search.ood_score(X)
    other = search.fit(X, Y).cv_results_
    assert_array_equal(one["mean_test_score"], other["mean_test_score"])
    assert_array_equal(search.ood_score(X), scores)
    assert clf.random_state is None
    assert (search.set_params(random_state=4).fit(X, Y).ood_score(X) != scores).any()
    assert_array_equal(states[0], np.random.get_state()[1])
    assert_array_equal(states[1], torch.get_rng_state())


def test_pipeline_in_detectors():
    """Check beta of a step, and a score that learns, inside both wrappers."""
    pipe = make_pipeline(StandardScaler(), fast(max_epochs=3))
    search = ConfidentClassifierCV(pipe, betas=[0.1, 1], random_state=0)
    detector = OODDetector(search, method="knn", random_state=0).fit(X, Y)
    best = detector.estimator_.best_estimator_
    assert best[-1].beta == detector.estimator_.beta_
    assert_array_equal(
        detector.score_samples(X), best[-1].score_samples(best[0].transform(X), "knn")
    )
    open_set = OpenSetClassifier(search, cv=0.4, random_state=0).fit(X, Y)
    assert_array_equal(open_set.classes_, [0, 1, 2, 3, 4])
    cv = LeaveClassesOut(2, n_splits=1, random_state=0)
    scores = cross_validate(search, X, Y, cv=cv, scoring=auroc_scorer)
    train, test = next(cv.split(X, Y))
    alone = clone(search).fit(X[train], Y[train])
    assert scores["test_score"] == [auroc_scorer(alone, X[test], Y[test])]


def test_methods():
    """Check that all that is asked of it is answered by the best estimator."""
    search = ConfidentClassifierCV(fast(max_epochs=3), betas=[1], method="energy")
    assert not hasattr(ConfidentClassifierCV(Nearest()), "predict_proba")
    for name in ("predict", "predict_proba", "decision_function", "ood_score"):
        with pytest.raises(NotFittedError):
            getattr(search, name)(X)
    best = search.fit(X, Y).best_estimator_
    for name in ("predict", "predict_proba", "decision_function"):
        assert_array_equal(getattr(search, name)(X), getattr(best, name)(X))
    assert_array_equal(search.ood_score(X), best.ood_score(X, "energy"))
    assert_array_equal(search.score_samples(X, "msp"), best.score_samples(X, "msp"))
    assert_array_equal(search.sample_ood(5), best.sample_ood(5))
    assert search.score(X, Y) == best.score(X, Y)
    assert (search.n_features_in_, search.classes_.tolist()) == (2, [0, 1, 2, 3, 4])
    assert get_tags(search).input_tags.sparse
    again = pickle.loads(pickle.dumps(search))
    assert_array_equal(again.ood_score(X), search.ood_score(X))


def test_images_in_parallel():
    """Check uint8 images, and that two processes give the same to the bit."""
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    clf = fast(max_epochs=3)
    searches = [
        ConfidentClassifierCV(clf, betas=[0.1, 1], n_jobs=n_jobs, random_state=0)
        for n_jobs in (1, 2)
    ]
    one, other = (s.fit(images, np.arange(60) % 3) for s in searches)
    for name in ("param_beta", "mean_test_score", "std_test_score"):
        assert_array_equal(one.cv_results_[name], other.cv_results_[name])
    assert_array_equal(one.predict_proba(images), other.predict_proba(images))


def test_checkpoint(tmp_path):
    """Check that the checkpoint is of the last fit, which goes on from there."""
    clf = fast(max_epochs=3, checkpoint=tmp_path)
    search = ConfidentClassifierCV(clf, betas=[0.1, 1], random_state=0).fit(X, Y)
    alone = fast(max_epochs=3, checkpoint=tmp_path, beta=search.beta_).fit(X, Y)
    assert_array_equal(alone.ood_score(X), search.ood_score(X))


def test_x_ood(fits):
    """Check that every fit gets all OOD rows, as many as there are rows too."""
    search = ConfidentClassifierCV(Nearest(), betas=[1], random_state=0)
    for X_ood in (X_OOD, X):
        fits.clear()
        search.fit(X, Y, X_ood=X_ood)
        assert len(fits) == 7 and all(fit.X_ood_ is X_ood for fit in fits)
    pipe = make_pipeline(StandardScaler(), Nearest())
    search.set_params(estimator=pipe).fit(X, Y, nearest__X_ood=X_OOD)
    assert fits[-1].X_ood_ is X_OOD


def test_x_ood_routing(fits):
    """Check that metadata routing passes OOD rows on where they are asked for."""
    with config_context(enable_metadata_routing=True):
        search = ConfidentClassifierCV(Nearest(), betas=[1], random_state=0)
        with pytest.raises(UnsetMetadataPassedError, match="X_ood"):
            search.fit(X, Y, X_ood=X_OOD)
        assert fits == []
        clf = Nearest().set_fit_request(X_ood=True)
        search.set_params(estimator=clf).fit(X, Y, X_ood=X_OOD)
        detector = OODDetector(search, cv=2).fit(X, Y, X_ood=X_OOD)
    assert len(fits) == 4 * 7 and all(fit.X_ood_ is X_OOD for fit in fits)
    assert detector.n_calibration_ == 200


def test_nothing_stands_in(fits):
    """Check that two classes of rows that cannot be permuted are refused at once."""
    with pytest.raises(ValueError, match="Nothing can serve as"):
        ConfidentClassifierCV(Dense()).fit(csr_array(X), Y % 2)
    assert not fits
    scoring = make_ood_scorer(X_ood=csr_array(X_OOD))
    search = ConfidentClassifierCV(Dense(), betas=[1], scoring=scoring)
    assert search.fit(csr_array(X), Y % 2).beta_ == 1
