# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the scorers."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import OODDetector
from confident_clf._detection._confidence import id_confidence
from confident_clf.metrics import (
    aupr_in,
    auroc,
    auroc_scorer,
    expected_calibration_error,
    fpr_at_tpr,
    id_accuracy_scorer,
    make_ood_scorer,
    ood_report,
    tnr_scorer,
)

X, Y = make_blobs(80, centers=2, cluster_std=2.0, random_state=0)
X_OOD = np.random.default_rng(0).normal(X.mean(axis=0), 4.0, size=(30, 2))
CLF = LogisticRegression().fit(X, Y)
NAMES = [
    "aupr_in",
    "aupr_out",
    "auroc",
    "detection_accuracy",
    "expected_calibration_error",
    "fpr_at_tpr",
    "tnr_at_tpr",
]
NEGATED = ["expected_calibration_error", "fpr_at_tpr"]


def mean_confidence_gap(y_true, y_score, *, factor=1.0):
    """Return a metric of our own."""
    return factor * (y_score[y_true].mean() - y_score[~y_true].mean())


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_names(name, labelled):
    """Check that a scorer gives the metric, greater for better, OOD rows either way."""
    report = ood_report(
        CLF.predict_proba(X).max(axis=1), CLF.predict_proba(X_OOD).max(axis=1)
    )
    expected = -report[name] if name in NEGATED else report[name]
    if labelled:
        scorer = make_ood_scorer(name)
        score = scorer(CLF, np.r_[X_OOD, X], np.r_[np.full(30, -1), Y])
    else:
        score = make_ood_scorer(name, X_ood=X_OOD)(CLF, X, Y)
    assert_allclose(score, expected)
    assert type(score) is float


def test_both_kinds_of_ood_rows():
    """Check that rows with a foreign label and those of X_ood add up."""
    scorer = make_ood_scorer("aupr_in", X_ood=X_OOD[:10])
    score = scorer(CLF, np.r_[X, X_OOD[10:]], np.r_[Y, np.full(20, 9)])
    assert_allclose(score, make_ood_scorer("aupr_in", X_ood=X_OOD)(CLF, X, Y))


def test_string_labels():
    """Check that an OOD label may be a string."""
    names = np.array(["cat", "dog"])[Y]
    clf = LogisticRegression().fit(X, names)
    y = np.r_[names, np.full(30, "unknown")]
    score = auroc_scorer(clf, np.r_[X, X_OOD], y)
    assert_allclose(score, make_ood_scorer(X_ood=X_OOD)(CLF, X, Y))
    assert id_accuracy_scorer(clf, np.r_[X, X_OOD], y) == CLF.score(X, Y)


def test_column_vector_of_labels():
    """Check that labels may be a column, as in a data frame of one."""
    X_all, y = np.r_[X, X_OOD], np.r_[Y, np.full(30, -1)]
    for scorer in (auroc_scorer, id_accuracy_scorer):
        assert scorer(CLF, X_all, pd.DataFrame(y)) == scorer(CLF, X_all, y)


def test_metric_kwargs():
    """Check that arguments reach the metric."""
    y_true = np.repeat([1, 0], [80, 30])
    y_score = id_confidence(CLF, np.r_[X, X_OOD])
    scorer = make_ood_scorer("fpr_at_tpr", X_ood=X_OOD, tpr=0.7, positive="out")
    expected = fpr_at_tpr(y_true, y_score, tpr=0.7, positive="out")
    assert scorer(CLF, X, Y) == -expected
    scorer = make_ood_scorer("expected_calibration_error", X_ood=X_OOD, n_bins=3)
    expected = expected_calibration_error(y_true, 1 + y_score, n_bins=3)
    assert_allclose(scorer(CLF, X, Y), -expected)


def test_callable_metric():
    """Check that any function of kinds and scores is a metric."""
    scorer = make_ood_scorer(roc_auc_score, X_ood=X_OOD)
    assert_allclose(scorer(CLF, X, Y), make_ood_scorer(X_ood=X_OOD)(CLF, X, Y))
    twice = make_ood_scorer(mean_confidence_gap, X_ood=X_OOD, factor=2.0)(CLF, X, Y)
    once = make_ood_scorer(mean_confidence_gap, X_ood=X_OOD)(CLF, X, Y)
    assert twice == 2 * once != 0


def test_method():
    """Check that the score to detect by can be chosen."""
    scorer = make_ood_scorer("auroc", X_ood=X_OOD, method="energy")
    d_in, d_out = CLF.decision_function(X), CLF.decision_function(X_OOD)
    expected = auroc(np.repeat([1, 0], [80, 30]), np.abs(np.r_[d_in, d_out]))
    assert_allclose(scorer(CLF, X, Y), expected)


def test_without_labels():
    """Check that a density without classes is scored on X_ood, without labels."""
    mixture = GaussianMixture(2, random_state=0).fit(X)
    score = make_ood_scorer("aupr_in", X_ood=X_OOD)(mixture, X)
    y_score = np.r_[mixture.score_samples(X), mixture.score_samples(X_OOD)]
    expected = average_precision_score(np.repeat([1, 0], [80, 30]), y_score)
    assert_allclose(score, expected)
    with pytest.raises(ValueError, match=r"GaussianMixture has no classes_.*X_ood"):
        auroc_scorer(mixture, X, Y)


def test_detector_as_estimator():
    """Check that a detector is scored by its confidence, and has no accuracy."""
    detector = OODDetector(LogisticRegression(), target_tpr=0.9).fit(X, Y)
    score = make_ood_scorer(X_ood=X_OOD)(detector, X, Y)
    assert score == make_ood_scorer(X_ood=X_OOD)(detector.estimator_, X, Y)
    with pytest.raises(TypeError, match="needs a classifier; OODDetector is not"):
        id_accuracy_scorer(detector, X, Y)


@pytest.mark.parametrize("routing", [True, False])
def test_search_with_several_scorers(routing):
    """Check that a search of a pipeline takes several scorers, data frames and jobs."""
    frame, ood_frame = (pd.DataFrame(a, columns=["a", "b"]) for a in (X, X_OOD))
    scoring = {
        "auroc": make_ood_scorer("auroc", X_ood=ood_frame),
        "tnr": make_ood_scorer("tnr_at_tpr", X_ood=ood_frame, method="margin", tpr=0.9),
        "accuracy": id_accuracy_scorer,
    }
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [0.01, 1.0]}
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            pipeline, grid, scoring=scoring, refit="auroc", n_jobs=2, cv=2
        )
        search = clone(search).fit(frame, pd.Series(Y))
        # scikit-learn 1.6.0 takes no params=None with routing, though its default.
        nested = cross_validate(search.set_params(n_jobs=1), frame, Y, cv=2, params={})
    first_fold = next(StratifiedKFold(2).split(X, Y))
    best = clone(pipeline).set_params(**search.best_params_)
    train, test = (frame.iloc[rows] for rows in first_fold)
    best.fit(train, Y[first_fold[0]])
    for name, scorer in scoring.items():
        expected = scorer(best, test, Y[first_fold[1]])
        assert search.cv_results_[f"split0_test_{name}"][search.best_index_] == expected
    assert np.isfinite(nested["test_score"]).all()


def test_cross_validation_with_foreign_labels():
    """Check that folds are scored with the OOD rows that fall into them."""
    cv = [(np.arange(0, 80, 2), np.r_[np.arange(1, 80, 2), np.arange(80, 110)])]
    X_all, y_all = np.r_[X, X_OOD], np.r_[Y, np.full(30, -1)]
    scoring = {"auroc": auroc_scorer, "tnr": tnr_scorer, "acc": id_accuracy_scorer}
    scores = cross_validate(LogisticRegression(), X_all, y_all, cv=cv, scoring=scoring)
    clf = LogisticRegression().fit(X[::2], Y[::2])
    report = ood_report(id_confidence(clf, X[1::2]), id_confidence(clf, X_OOD))
    assert_allclose(scores["test_auroc"], report["auroc"])
    assert_allclose(scores["test_tnr"], report["tnr_at_tpr"])
    assert_allclose(scores["test_acc"], clf.score(X[1::2], Y[1::2]))


def test_classes_left_out_of_training():
    """Check that rows of a class that was not trained on are OOD."""
    X3, y3 = make_blobs(90, centers=3, random_state=0)
    clf = LogisticRegression().fit(X3[y3 < 2], y3[y3 < 2])
    expected = roc_auc_score(y3 < 2, clf.predict_proba(X3).max(axis=1))
    assert_allclose(auroc_scorer(clf, X3, y3), expected)
    assert id_accuracy_scorer(clf, X3, y3) == clf.score(X3[y3 < 2], y3[y3 < 2])


def test_pickle():
    """Check that a scorer survives pickling and cloning."""
    scorer = make_ood_scorer("tnr_at_tpr", X_ood=X_OOD, method="msp", tpr=0.8)
    expected = scorer(CLF, X, Y)
    assert pickle.loads(pickle.dumps(scorer))(CLF, X, Y) == expected
    assert clone(scorer, safe=False)(CLF, X, Y) == expected


def test_repr():
    """Check that a scorer shows how it was made."""
    assert repr(auroc_scorer) == "make_ood_scorer('auroc')"
    assert repr(tnr_scorer) == "make_ood_scorer('tnr_at_tpr')"
    scorer = make_ood_scorer(aupr_in, X_ood=X_OOD, method="msp")
    assert repr(scorer) == "make_ood_scorer(aupr_in, X_ood=<30 samples>, method='msp')"


@pytest.mark.parametrize(
    "args, kwargs, error, message",
    [
        (["auc"], {}, ValueError, r"metric='auc' .*'auroc'.*'tnr_at_tpr'"),
        ([None], {}, ValueError, r"metric=None is not a metric"),
        (["auroc"], {"tpr": 0.9}, TypeError, r"metric='auroc': .*'tpr'"),
        ([mean_confidence_gap], {"tpr": 0.9}, TypeError, r"mean_confidence.*'tpr'"),
        (["tnr_at_tpr"], {"tpr": 95}, ValueError, r"tpr must be .*got 95"),
        (["fpr_at_tpr"], {"positive": "ood"}, ValueError, r"positive='ood'"),
        (["expected_calibration_error"], {"n_bins": 0}, ValueError, r"n_bins .*got 0"),
        (
            ["expected_calibration_error"],
            {"method": "energy"},
            ValueError,
            r"method='energy' is not a probability.*'msp'",
        ),
    ],
)
def test_refused_when_made(args, kwargs, error, message):
    """Check that mistakes are refused when the scorer is made, not in a search."""
    with pytest.raises(error, match=message):
        make_ood_scorer(*args, **kwargs)


@pytest.mark.parametrize("scorer", [auroc_scorer, make_ood_scorer(roc_auc_score)])
def test_one_kind(scorer):
    """Check that rows of one kind are refused, with what to do."""
    with pytest.raises(ValueError, match=r"All 80 rows are in-dist.*X_ood"):
        scorer(CLF, X, Y)
    with pytest.raises(ValueError, match=r"All 80 rows are out-of.*\[0, 1\] of Log"):
        scorer(CLF, X, np.full(80, -1))
    with pytest.raises(ValueError, match=r"All 80 rows are out-of-distribution"):
        id_accuracy_scorer(CLF, X, np.full(80, -1))
