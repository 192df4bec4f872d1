# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the splitters, alone and in scikit-learn's searches."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.metrics import (
    auroc,
    auroc_scorer,
    id_accuracy_scorer,
    make_ood_scorer,
    tnr_scorer,
)
from confident_clf.model_selection import LeaveClassesOut, OODKFold

X, Y = make_blobs(200, centers=5, center_box=(-4, 4), random_state=1)
# Where blob 4 is, unknown samples are.
Y_OOD = np.where(Y == 4, -1, Y)
SCORING = {"auroc": auroc_scorer, "tnr": tnr_scorer, "accuracy": id_accuracy_scorer}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_splits", [2, 3, 7])
def test_ood_k_fold(n_splits, shuffle):
    """Check that test parts are a partition, and OOD rows are in no training part."""
    cv = OODKFold(n_splits, shuffle=shuffle, random_state=0 if shuffle else None)
    splits = list(cv.split(X, Y_OOD))
    assert len(splits) == cv.get_n_splits(X, Y_OOD) == n_splits
    tests = np.concatenate([test for _, test in splits])
    assert_array_equal(np.sort(tests), np.arange(200))
    for train, test in splits:
        expected = np.setdiff1d(np.flatnonzero(Y_OOD != -1), test)
        assert_array_equal(train, expected)
        shares = np.bincount(Y_OOD[test] + 1) / np.bincount(Y_OOD + 1)
        assert_allclose(shares, 1 / n_splits, atol=1 / 40)


def test_ood_k_fold_is_stratified_k_fold():
    """Check the folds against scikit-learn's, less the OOD rows to train on."""
    names = np.where(Y == 4, "unknown", np.array(list("abcde"))[Y])
    cv = OODKFold(4, ood_label="unknown", shuffle=True, random_state=3)
    reference = StratifiedKFold(4, shuffle=True, random_state=3)
    for ours, theirs in zip(cv.split(X, names), reference.split(X, names), strict=True):
        assert_array_equal(ours[1], theirs[1])
        assert_array_equal(ours[0], theirs[0][names[theirs[0]] != "unknown"])
    columns = cv.split(X, pd.DataFrame(names)), cv.split(X, pd.Series(names))
    for ours, theirs in zip(*columns, strict=True):
        assert_array_equal(ours[0], theirs[0])


def test_ood_k_fold_predictions():
    """Check that cross_val_predict scores every row by a fold it was not trained in."""
    cv, clf = OODKFold(4), LogisticRegression()
    predicted = cross_val_predict(clf, X, Y_OOD, cv=cv)
    expected = np.empty(200)
    for train, test in StratifiedKFold(4).split(X, Y_OOD):
        rows = train[Y_OOD[train] != -1]
        expected[test] = clf.fit(X[rows], Y_OOD[rows]).predict(X[test])
    assert_array_equal(predicted, expected)


@pytest.mark.parametrize("n_held_out", [1, 2, 3])
def test_leave_classes_out(n_held_out):
    """Check that classes held out are never trained on, and wholly tested on."""
    cv = LeaveClassesOut(n_held_out, test_size=0.25, random_state=0)
    splits = list(cv.split(X, Y))
    assert len(splits) == cv.get_n_splits(X, Y) == -(-5 // n_held_out)
    held_out = []
    for train, test in splits:
        assert_array_equal(np.sort(np.append(train, test)), np.arange(200))
        out = np.setdiff1d(Y, Y[train])
        held_out.append(out)
        expected = np.where(np.isin(np.arange(5), out), 40, 10)
        assert_array_equal(np.bincount(Y[test]), expected)
    assert_array_equal([len(out) for out in held_out], n_held_out)
    assert_array_equal(np.unique(np.concatenate(held_out)), np.arange(5))


def test_leave_classes_out_goes_round():
    """Check that with more splits than classes all are out equally often."""
    cv = LeaveClassesOut(2, n_splits=10, random_state=1)
    times = sum(1 - np.isin(range(5), Y[train]) for train, _ in cv.split(X, Y))
    assert_array_equal(times, 4)
    assert cv.get_n_splits() == 10


def test_leave_classes_out_random_state():
    """Check that the order and the share are drawn, by random_state alone."""
    names = np.array(list("abcde"))[Y]

    def tests(seed):
        cv = LeaveClassesOut(random_state=seed)
        return [test.tolist() for _, test in cv.split(X, names)]

    np.random.seed(0)
    first = tests(0)
    np.random.seed(1)
    assert tests(0) == first
    assert tests(1) != first
    expected = [
        test.tolist() for _, test in LeaveClassesOut(random_state=0).split(X, Y)
    ]
    assert expected == first


def searches(estimator, grid, cv):
    """Return every search, by its name."""
    choices = {"scoring": SCORING, "refit": "auroc", "cv": cv, "error_score": "raise"}
    one = choices | {"scoring": auroc_scorer, "refit": True}
    halving = {"min_resources": 100, "factor": 2, "random_state": 0}
    halving["return_train_score"] = False  # there are no OOD rows to train on
    return {
        "grid": GridSearchCV(estimator, grid, **choices),
        "random": RandomizedSearchCV(
            estimator, grid, n_iter=2, random_state=0, **choices
        ),
        "halving": HalvingGridSearchCV(estimator, grid, **halving, **one),
    }


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("kind", ["grid", "random", "halving"])
@pytest.mark.parametrize("splitter", ["OODKFold", "LeaveClassesOut"])
def test_searches(splitter, kind, routing):
    """Check the scores of every search against splits and scorers used by hand.

    The search over rows of halving ends with all of them, so there its last scores are
    those of the whole.
    """
    cv, y = {
        "OODKFold": (OODKFold(3, shuffle=True, random_state=0), Y_OOD),
        "LeaveClassesOut": (LeaveClassesOut(2, random_state=0), Y),
    }[splitter]
    pipe = make_pipeline(StandardScaler(), KNeighborsClassifier())
    grid = {"kneighborsclassifier__n_neighbors": [3, 15]}
    with config_context(enable_metadata_routing=routing):
        search = searches(pipe, grid, cv)[kind].fit(X, y)
        by_hand = cross_val_score(
            search.best_estimator_, X, y, cv=cv, scoring=auroc_scorer, params={}
        )
    expected = []
    for train, test in cv.split(X, y):
        best = search.best_estimator_.fit(X[train], y[train])
        expected.append([score(best, X[test], y[test]) for score in SCORING.values()])
    expected = np.transpose(expected)
    assert_allclose(by_hand, expected[0])
    assert_allclose(search.best_score_, expected[0].mean())
    if kind == "halving":
        assert search.n_resources_ == [100, 200]
    else:
        results = [search.cv_results_[f"mean_test_{name}"] for name in SCORING]
        assert_allclose(np.array(results)[:, search.best_index_], expected.mean(axis=1))


def test_refit_by_a_function():
    """Check that several scores may be weighed against each other."""

    def most_accurate(results):
        return int(np.argmax(results["mean_test_accuracy"]))

    search = GridSearchCV(
        KNeighborsClassifier(),
        {"n_neighbors": [1, 5, 80]},
        scoring=SCORING,
        refit=most_accurate,
        cv=OODKFold(3),
    ).fit(X, Y_OOD)
    scores = search.cv_results_["mean_test_accuracy"]
    assert scores[search.best_index_] == scores.max() > scores.min()


def test_beta_of_confident_classifier():
    """Check a search over beta, in which the best is refitted without the OOD rows."""
    clf = ConfidentClassifier(
        ood_source="noise", ood_label=-1, lr=0.01, max_epochs=3, random_state=0
    )
    search = GridSearchCV(
        clf, {"beta": [0.0, 1.0]}, scoring=SCORING, refit="auroc", cv=OODKFold(2)
    ).fit(X, Y_OOD)
    assert_array_equal(search.classes_, [0, 1, 2, 3])
    by_class = GridSearchCV(
        clf.set_params(ood_label=None),
        {"beta": [0.0, 1.0]},
        scoring=auroc_scorer,
        cv=LeaveClassesOut(2, n_splits=2, random_state=0),
        error_score="raise",
    ).fit(X, Y)
    assert_array_equal(by_class.classes_, range(5))
    for scores in (search.cv_results_["mean_test_auroc"], by_class.cv_results_):
        values = scores["mean_test_score"] if isinstance(scores, dict) else scores
        assert values[0] != values[1]


def test_detector_in_cross_validation():
    """Check that detectors are scored on splits too: by label, the same as by hand."""
    cv = OODKFold(2)
    detector = OODDetector(LogisticRegression(), target_tpr=0.9, random_state=0)
    scores = cross_validate(detector, X, Y_OOD, cv=cv, scoring=auroc_scorer)
    for score, (train, test) in zip(
        scores["test_score"], cv.split(X, Y_OOD), strict=True
    ):
        detector.fit(X[train], Y_OOD[train])
        confidence = detector.score_samples(X[test])
        assert_allclose(score, auroc(Y_OOD[test] != -1, confidence))


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "permuted"])
def test_synthetic_sets_of_each_fold(kind):
    """Check that a search makes OOD samples from what each fold is scored on."""
    scorer = make_ood_scorer(X_ood=kind)
    pipe = make_pipeline(StandardScaler(), KNeighborsClassifier(20))
    scores = cross_validate(pipe, X, Y, cv=StratifiedKFold(2), scoring=scorer)
    expected = [
        scorer(pipe.fit(X[train], Y[train]), X[test], Y[test])
        for train, test in StratifiedKFold(2).split(X, Y)
    ]
    assert_allclose(scores["test_score"], expected)
    assert (scores["test_score"] > 0.5).all()


@pytest.mark.parametrize(
    "cv, y, message",
    [
        (OODKFold(5), Y, r"n_splits=5 .* ood_label=-1.* y has 0"),
        (OODKFold(5), np.r_[Y[:-3], [-1] * 3], r"n_splits=5 .* y has 3"),
        (LeaveClassesOut(4), Y, r"n_held_out=4 of 5 classes .*leave 1 .* at most 3"),
        (LeaveClassesOut(9), Y, r"n_held_out=9 of 5 classes .*leave 0 .* at most 3"),
        (LeaveClassesOut(1), np.minimum(Y, 1), r"=1 of 2 .*leave 1 .* at most 0"),
        (LeaveClassesOut(0), Y, r"n_held_out must be an integer .* got 0"),
        (LeaveClassesOut(0.5), Y, r"n_held_out must be an integer .* got 0.5"),
        (LeaveClassesOut(n_splits=0), Y, r"n_splits must be an integer .* got 0"),
        (LeaveClassesOut(), np.r_[Y[:-1], 9], r"Class 9 has 1 row, too few"),
        (LeaveClassesOut(test_size=2.0), Y, r"test_size=2.0 should be"),
        (LeaveClassesOut(test_size=0.01), Y, r"test_size = 2 .* classes = 4"),
    ],
)
def test_refused(cv, y, message):
    """Check that impossible splits are refused, with the numbers, before the first."""
    with pytest.raises(ValueError, match=message):
        next(cv.split(X, y))


def test_number_of_splits_takes_labels():
    """Check that the number of splits that depends on the classes is not guessed."""
    with pytest.raises(ValueError, match=r"depends on y\. Pass y, or set n_splits"):
        LeaveClassesOut().get_n_splits()


def test_repr():
    """Check that splitters show their parameters."""
    assert repr(OODKFold(3, ood_label="?")).startswith(
        "OODKFold(n_splits=3, ood_label="
    )
    assert "n_held_out=2" in repr(LeaveClassesOut(2))
