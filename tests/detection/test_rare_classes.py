# SPDX-License-Identifier: BSD-3-Clause
"""Tests of rare classes, and of groups: what is trained on, and what calibrates."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedGroupKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
    load,
    save,
)

SEEDS = range(100)


def blobs(*n_rare, n=200):
    """Return rows of two common classes, and of one class for each number of rows."""
    sizes = [n // 2, n // 2, *n_rare]
    X, y = make_blobs(sizes, shuffle=False, random_state=0)
    return X.astype(np.float32), y


class Random(ClassifierMixin, BaseEstimator):
    """Classifier that knows the classes it was fitted on; the score is column 0."""

    def fit(self, X, y, groups=None):
        """Learn the classes, and keep what it got."""
        self.classes_ = np.unique(y)
        self.X_, self.y_, self.groups_ = np.asarray(X), np.asarray(y), groups
        return self

    def predict(self, X):
        """Return the first class."""
        return np.full(len(X), self.classes_[0])

    def score_samples(self, X):
        """Return the first column."""
        return np.asarray(X)[:, 0]


def quietly(estimator, X, y, **params):
    """Return the fitted estimator, and the messages of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y, **params)
    return estimator, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("n_rare", [(1,), (2,), (3,), (1, 1, 1, 2)])
@pytest.mark.parametrize("kind", [OODDetector, OpenSetClassifier])
def test_no_class_vanishes(kind, n_rare):
    """Check the classes of a hundred seeds, and the warning where rows moved."""
    X, y = blobs(*n_rare)
    n_moved = 0
    for seed in SEEDS:
        estimator = kind(LogisticRegression(), random_state=seed)
        fitted, messages = quietly(estimator, X, y)
        assert_array_equal(fitted.classes_, np.unique(y))
        train, _ = next(ShuffleSplit(1, test_size=0.2, random_state=seed).split(X))
        expected = np.setdiff1d(y, y[train])
        assert_array_equal(fitted.uncalibrated_classes_, expected)
        assert len(messages) == (len(expected) > 0)
        assert all(str(expected.tolist()) in message for message in messages)
        n_moved += len(expected)
    if 1 in n_rare:
        assert n_moved > 5


def test_what_calibrates_if_rows_move():
    """Check training rows and calibration scores against the draw, made by hand."""
    X, y = blobs(1, 1, 2)
    for seed in SEEDS:
        split = ShuffleSplit(1, test_size=0.5, random_state=seed)
        train, held_out = next(split.split(X))
        rare = np.setdiff1d(y, y[train])
        if rare.tolist() == [3, 4]:
            break
    detector = OODDetector(Random(), cv=0.5, random_state=seed)
    detector, _ = quietly(detector, X, y)
    moved = np.isin(y[held_out], rare)
    assert_array_equal(detector.estimator_.X_, np.r_[X[train], X[held_out[moved]]])
    scores = np.sort(X[held_out[~moved], 0])
    assert_allclose(detector.calibration_scores_, scores, rtol=1e-6)
    assert detector.n_calibration_ == len(held_out) - moved.sum()


@pytest.mark.parametrize("shift", [-9, 9])
def test_the_guarantee_of_the_other_classes(shift):
    """Check that they are accepted at the exact rate where both rare rows were drawn.

    If one of these calibrated, whose score is much lower or higher, the rate would be
    another.
    """
    rng, excess = np.random.default_rng(0), []
    y = np.repeat([0, 1], [38, 2])
    for seed in range(1000):
        X = rng.random((40, 1)) + shift * y[:, np.newaxis]
        detector = OODDetector(Random(), target_tpr=0.8, cv=0.5, random_state=seed)
        detector, _ = quietly(detector, X, y)
        if len(detector.uncalibrated_classes_):
            share = np.mean(rng.random(400) >= detector.threshold_)
            # Of 18 scores the third is the threshold, so 16 of 19 are accepted.
            excess.append(share - 16 / 19)
    error = np.std(excess) / np.sqrt(len(excess))
    assert len(excess) > 200 and error < 0.01
    assert abs(np.mean(excess)) < 4 * error


@pytest.mark.parametrize(
    "kind", ["strings", "a column of a table", "categories", "a list", "nullable"]
)
def test_labels_of_every_kind(kind):
    """Check a class of one row, whose row is drawn with this seed."""
    X, y = blobs(1)
    names = np.array(["a", "b", "rare"])[y]
    labels = {
        "strings": names,
        "a column of a table": pd.Series(names),
        "categories": pd.Series(names, dtype="category"),
        "a list": names.tolist(),
        "nullable": pd.Series(y, dtype="Int64"),
    }[kind]
    seed = next(s for s in SEEDS if 200 in drawn(len(X), s))
    open_set = OpenSetClassifier(
        LogisticRegression(),
        unknown_label=-1 if kind == "nullable" else "unknown",
        random_state=seed,
    )
    open_set, messages = quietly(open_set, X, labels)
    assert open_set.classes_.tolist() == np.unique(labels).tolist()
    assert open_set.uncalibrated_classes_.tolist() == [np.asarray(labels)[-1]]
    assert len(messages) == 1


def drawn(n, seed, share=0.2):
    """Return the rows that a detector with this seed holds out."""
    return next(ShuffleSplit(1, test_size=share, random_state=seed).split(range(n)))[1]


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_network_knows_a_class_of_one_row(early_stopping):
    """Check ConfidentClassifier in a pipeline, with a part held back once more."""
    X, y = blobs(1)
    seed = next(s for s in SEEDS if 200 in drawn(len(X), s))
    clf = ConfidentClassifier(
        ood_source=None, method="msp", max_epochs=1, early_stopping=early_stopping
    )
    pipe = make_pipeline(StandardScaler(), clf)
    open_set, _ = quietly(OpenSetClassifier(pipe, random_state=seed), X, y)
    assert open_set.classes_.tolist() == [0, 1, 2]


def test_ood_rows_stay_in_training_too():
    """Check one OOD row for a source that needs it; it is no class to warn of."""
    X, y = blobs(1)
    y = np.where(y == 2, -1, y)
    seed = next(s for s in SEEDS if 200 in drawn(len(X), s))
    clf = ConfidentClassifier(
        ood_source="explicit", ood_label=-1, method="msp", max_epochs=1
    )
    detector, messages = quietly(OODDetector(clf, random_state=seed), X, y)
    assert detector.classes_.tolist() == [0, 1]
    assert len(detector.uncalibrated_classes_) == 0
    assert not any("too few rows" in message for message in messages)


@pytest.mark.parametrize("cv", [5, KFold(4, shuffle=True, random_state=0)])
def test_folds_name_the_classes_that_they_left_out(cv):
    """Check that the classifier of all rows knows them, and that no row calibrates."""
    X, y = blobs(1)
    detector, messages = quietly(OODDetector(Random(), cv=cv), X, y)
    assert detector.classes_.tolist() == [0, 1, 2]
    assert detector.uncalibrated_classes_.tolist() == [2]
    assert detector.n_calibration_ == 200
    assert sum("[2] have too few rows" in message for message in messages) == 1


def test_nothing_is_left_out_of_common_classes():
    """Check the attribute, and that there is no warning (warnings are errors)."""
    X, y = blobs()
    for cv in (0.2, 5):
        detector = OODDetector(LogisticRegression(), cv=cv, random_state=0).fit(X, y)
        assert detector.uncalibrated_classes_.shape == (0,)


def test_a_threshold_for_a_class_that_cannot_calibrate():
    """Check the error of per_class, before anything is fitted."""
    X, y = blobs(1, n=400)
    detector = OODDetector(Random(), per_class=True, random_state=0)
    with pytest.raises(
        ValueError, match=r"calibration rows of every class.*labelled 2"
    ):
        detector.fit(X, y)


@pytest.mark.parametrize("estimator", [IsolationForest(), RandomForestClassifier(5)])
def test_estimators_without_one_label_for_each_row(estimator):
    """Check a detector of outliers, which ignores y, and labels of two columns."""
    X, y = blobs(1)
    if isinstance(estimator, RandomForestClassifier):
        detector = OODDetector(Random(), random_state=0)
        detector.set_params(estimator=FirstColumn())
        y = np.c_[y, y]
    else:
        detector = OODDetector(estimator, random_state=0)
    assert detector.fit(X, y).n_calibration_ == 41


class FirstColumn(Random):
    """The same, for labels of two columns: it has no single list of classes."""

    def fit(self, X, y):
        """Learn nothing."""
        self.fitted_ = True
        return self


def test_files_keep_what_was_left_out(tmp_path):
    """Check the attribute after save and load."""
    X, y = blobs(1)
    seed = next(s for s in SEEDS if 200 in drawn(len(X), s))
    detector, _ = quietly(OODDetector(LogisticRegression(), random_state=seed), X, y)
    save(detector, tmp_path / "detector")
    assert load(tmp_path / "detector").uncalibrated_classes_.tolist() == [2]


# The search for beta


class Recorded(Random):
    """Classifier whose beta is searched; it keeps the labels of every fit."""

    fits = []

    def __init__(self, beta=0.1, max_epochs=2, warm_start=False):
        self.beta, self.max_epochs, self.warm_start = beta, max_epochs, warm_start

    def fit(self, X, y):
        """Learn the classes, and record the labels."""
        self.fits.append(np.asarray(y))
        return super().fit(X, y)


@pytest.mark.parametrize("n_rare", [(1,), (1, 1, 3), (2, 1)])
@pytest.mark.parametrize("n_common", [2, 4])
def test_every_fit_of_a_search_has_the_rare_classes(n_common, n_rare):
    """Check the labels of the fits; with enough common classes, some are held out."""
    sizes = [40] * n_common + list(n_rare)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    Recorded.fits = []
    search = ConfidentClassifierCV(Recorded(), betas=[1], random_state=0).fit(X, y)
    assert_array_equal(search.classes_, np.arange(len(sizes)))
    rare = np.arange(n_common, len(sizes))
    common = [np.intersect1d(labels, np.arange(n_common)) for labels in Recorded.fits]
    assert all(np.isin(rare, labels).all() for labels in Recorded.fits)
    assert {len(labels) for labels in common[:-1]} == {n_common - (n_common > 3) * 2}
    counts = [np.sum(labels == rare[0]) for labels in Recorded.fits]
    # Of classes too rare to be held out, all rows are trained on.
    assert n_common == 2 or set(counts) == {n_rare[0]}


def test_a_search_where_each_class_has_one_row():
    """Check the error."""
    with pytest.raises(ValueError, match="Each of the 3 classes has one row only"):
        ConfidentClassifierCV(random_state=0).fit(np.eye(3), [0, 1, 2])


# Groups

GROUPED = blobs()
GROUPS = np.random.default_rng(0).integers(8, size=200)
SPLITTERS = {
    "GroupKFold": GroupKFold(4),
    "LeaveOneGroupOut": LeaveOneGroupOut(),
    "StratifiedGroupKFold": StratifiedGroupKFold(3),
    "GroupShuffleSplit": GroupShuffleSplit(2, test_size=0.4, random_state=0),
}


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("kind", [OODDetector, OpenSetClassifier])
def test_groups_reach_the_splitter(kind, splitter, routing):
    """Check the calibration rows against those that the splitter holds out."""
    X, y = GROUPED
    cv = SPLITTERS[splitter]
    rows = np.concatenate([test for _, test in cv.split(X, y, GROUPS)])
    with config_context(enable_metadata_routing=routing):
        fitted = kind(LogisticRegression(), cv=cv).fit(X, y, groups=GROUPS)
    detector = getattr(fitted, "detector_", fitted)
    assert detector.n_calibration_ == len(rows)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize(
    "groups", [GROUPS.tolist(), pd.Series(GROUPS), GROUPS.astype(str)], ids=type
)
def test_no_group_is_in_both_parts(groups, routing):
    """Check the scores of every fold against classifiers fitted by hand."""
    X, y = GROUPED
    with config_context(enable_metadata_routing=routing):
        detector = OODDetector(LogisticRegression(), cv=GroupKFold(4))
        detector.fit(X, y, groups=groups)
    scores = []
    for train, test in GroupKFold(4).split(X, y, groups):
        proba = LogisticRegression().fit(X[train], y[train]).predict_proba(X[test])
        scores.append(proba.max(axis=1) - 1)
    assert_allclose(
        detector.calibration_scores_, np.sort(np.concatenate(scores)), atol=1e-7
    )


@pytest.mark.parametrize("routing", [False, True])
def test_groups_in_a_search(routing):
    """Check the splits of ConfidentClassifierCV, with a network."""
    X, y = GROUPED
    clf = ConfidentClassifier(ood_source="noise", method="msp", max_epochs=2)
    search = ConfidentClassifierCV(
        clf, betas=[0.1, 1], cv=LeaveOneGroupOut(), random_state=0
    )
    with config_context(enable_metadata_routing=routing):
        search, _ = quietly(search, X, y, groups=GROUPS)
    assert len([name for name in search.cv_results_ if "split" in name]) == 8


def test_groups_go_where_they_are_asked_for():
    """Check a classifier that takes groups: only by a request of its own."""
    X, y = GROUPED
    detector = OODDetector(Random(), cv=GroupKFold(2))
    assert detector.fit(X, y, groups=GROUPS).estimator_.groups_ is None
    with config_context(enable_metadata_routing=True):
        asking = Random().set_fit_request(groups=True)
        detector = OODDetector(asking, cv=GroupKFold(2)).fit(X, y, groups=GROUPS)
        assert_array_equal(detector.estimator_.groups_, GROUPS)


@pytest.mark.parametrize("routing", [False, True])
def test_a_network_in_a_search_by_groups(routing):
    """Check scikit-learn's own search and a detector, without any request."""
    X, y = GROUPED
    clf = ConfidentClassifier(ood_source=None, method="msp", max_epochs=1)
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(clf, {"lr": [0.01]}, cv=GroupKFold(2))
        search, _ = quietly(search, X, y, groups=GROUPS)
        detector, _ = quietly(OODDetector(clf, cv=GroupKFold(2)), X, y, groups=GROUPS)
    assert search.n_splits_ == 2 and detector.n_calibration_ == 200


def test_groups_of_no_use():
    """Check the errors where rows are drawn one by one, and without groups."""
    X, y = GROUPED
    message = r"groups were given, but cv=0.2 does not keep.*cv=GroupKFold\(\)"
    for kind in (OODDetector, OpenSetClassifier):
        with pytest.raises(ValueError, match=message):
            kind(LogisticRegression()).fit(X, y, groups=GROUPS)
    with pytest.raises(ValueError, match="groups were given, but cv=None"):
        ConfidentClassifierCV().fit(X, y, groups=GROUPS)
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        OODDetector(LogisticRegression(), cv=GroupKFold(2)).fit(X, y)
    OODDetector(LogisticRegression(), random_state=0).fit(X, y, groups=None)
