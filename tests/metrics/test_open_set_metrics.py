# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the metrics of open-set classification."""

from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, auc, make_scorer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import OpenSetClassifier
from confident_clf.metrics import (
    accepted_accuracy,
    aurc,
    auroc,
    make_ood_scorer,
    oscr,
)
from confident_clf.model_selection import OODKFold


def random_case(seed):
    """Return kinds, scores and hits of a random size, overlap and number of ties."""
    rng = np.random.default_rng(seed)
    y_true = rng.permutation(np.repeat([1, 0], rng.integers(1, 40, size=2)))
    y_score = rng.normal(size=len(y_true)) + rng.normal() * y_true
    y_correct = rng.integers(2, size=len(y_true))
    return y_true, y_score.round(rng.choice([0, 1, 9])), y_correct


@pytest.mark.parametrize("seed", range(60))
def test_oscr_against_the_curve(seed):
    """Check the area under the curve itself, drawn threshold by threshold."""
    y_true, y_score, y_correct = random_case(seed)
    is_id, right = y_true == 1, (y_true == 1) & (y_correct == 1)
    fpr, ccr = [], []
    for threshold in [np.inf, *np.unique(y_score)[::-1]]:
        accepted = y_score >= threshold
        fpr.append(accepted[~is_id].mean())
        ccr.append((accepted & right).sum() / is_id.sum())
    assert_allclose(oscr(y_true, y_score, y_correct), auc(fpr, ccr))


def test_oscr_of_all_right_and_all_wrong():
    """Check that OSCR is AUROC where all is right, and 0 where nothing is."""
    for seed in range(10):
        y_true, y_score, _ = random_case(seed)
        ones = np.ones(len(y_true))
        assert_allclose(oscr(y_true, y_score, ones), auroc(y_true, y_score))
        assert oscr(y_true, y_score, 1 - ones) == 0.0
        assert oscr(y_true, y_score, 1 - y_true) == 0.0


def test_oscr_at_the_edges():
    """Check that it is the accuracy where detection is perfect, and half by chance."""
    y_true, y_correct = [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]
    assert oscr(y_true, [9, 8, 7, 6, 1, 2], y_correct) == 0.75
    assert oscr(y_true, [1] * 6, y_correct) == 0.375


@pytest.mark.parametrize("seed", range(20))
def test_aurc_against_every_order_of_ties(seed):
    """Check the mean selective risk, over every order of the samples that tie."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 7)
    y_score, y_correct = rng.integers(3, size=n), rng.integers(2, size=n)
    areas = []
    for order in permutations(range(n)):
        scores = y_score[list(order)]
        if (np.diff(scores) <= 0).all():
            wrong = 1 - y_correct[list(order)]
            areas.append(np.mean(np.cumsum(wrong) / np.arange(1, n + 1)))
    assert_allclose(aurc(y_correct, y_score), np.mean(areas))


def test_aurc_closed_forms():
    """Check the best and the worst order, and no order at all."""
    n, n_wrong = 50, 20
    y_correct = np.repeat([1, 0], [n - n_wrong, n_wrong])
    k = np.arange(1, n + 1)
    best = np.mean(np.maximum(k - (n - n_wrong), 0) / k)
    worst = np.mean(np.minimum(k, n_wrong) / k)
    assert_allclose(aurc(y_correct, -k), best)
    assert_allclose(aurc(y_correct, k), worst)
    assert_allclose(aurc(y_correct, np.zeros(n)), n_wrong / n)
    assert aurc(np.ones(5), k[:5]) == 0.0
    assert aurc(np.zeros(5), k[:5]) == 1.0


def test_aurc_does_not_depend_on_the_order_of_rows():
    """Check that samples in another order give the same area, ties or not."""
    y_correct, y_score = [1, 0, 1, 1, 0, 0], [3, 3, 2, 2, 2, 1]
    area = aurc(y_correct, y_score)
    for order in permutations(range(6)):
        rows = list(order)
        assert_allclose(aurc(np.take(y_correct, rows), np.take(y_score, rows)), area)


@pytest.mark.parametrize("unknown", [-1, "unknown"])
def test_accepted_accuracy(unknown):
    """Check the accuracy against scikit-learn's on the accepted rows."""
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c", "unknown"]) if unknown != -1 else [0, 1, 2, -1]
    y_true, y_pred = np.array(labels)[rng.integers(4, size=(2, 200))]
    accepted = y_pred != unknown
    expected = accuracy_score(y_true[accepted], y_pred[accepted])
    assert accepted_accuracy(y_true, y_pred, unknown_label=unknown) == expected
    nothing = np.full(200, unknown)
    assert np.isnan(accepted_accuracy(y_true, nothing, unknown_label=unknown))


def test_accepted_accuracy_as_scorer():
    """Check that scikit-learn makes a scorer of it."""
    X, y = make_blobs(200, centers=3, cluster_std=2.0, random_state=0)
    open_set = OpenSetClassifier(LogisticRegression(), target_tpr=0.5, random_state=0)
    open_set.fit(X, y)
    predicted = open_set.predict(X)
    expected = np.mean(y[predicted != -1] == predicted[predicted != -1])
    assert make_scorer(accepted_accuracy)(open_set, X, y) == expected
    assert expected > LogisticRegression().fit(X, y).score(X, y)


@pytest.mark.parametrize("metric", ["oscr", "aurc"])
def test_scorers(metric):
    """Check the scorers against the metrics, OOD rows labelled, given or both."""
    X, y = make_blobs(200, centers=4, cluster_std=2.0, random_state=0)
    y[y == 3] = -1
    clf = LogisticRegression().fit(X[y != -1], y[y != -1])
    y_true, y_score = y != -1, clf.predict_proba(X).max(axis=1)
    y_correct = clf.predict(X) == y
    if metric == "oscr":
        expected = oscr(y_true, y_score, y_correct)
    else:
        expected = -aurc(y_correct, y_score)
    assert_allclose(make_ood_scorer(metric)(clf, X, y), expected)
    X_id, y_id, X_ood = X[y_true], y[y_true], X[~y_true]
    scorer = make_ood_scorer(metric, X_ood=X_ood)
    assert_allclose(scorer(clf, X_id, y_id), expected)
    both = make_ood_scorer(metric, X_ood=X_ood[10:])
    rows = np.r_[np.flatnonzero(y_true), np.flatnonzero(~y_true)[:10]]
    assert_allclose(both(clf, X[rows], y[rows]), expected)
    scores = cross_val_score(
        LogisticRegression(), X, y, cv=OODKFold(2), scoring=make_ood_scorer(metric)
    )
    assert np.isfinite(scores).all()


def test_scorers_take_a_classifier():
    """Check that a density, or no labels, is refused with what to use instead."""
    X, y = make_blobs(40, centers=2, random_state=0)
    scorer = make_ood_scorer("oscr", X_ood=X)
    with pytest.raises(
        TypeError, match=r"labels; got GaussianMixture without y.*auroc"
    ):
        scorer(GaussianMixture().fit(X), X)
    with pytest.raises(TypeError, match=r"labels; got LogisticRegression without y"):
        scorer(LogisticRegression().fit(X, y), X)
    with pytest.raises(TypeError, match=r"metric='oscr': .*'tpr'"):
        make_ood_scorer("oscr", tpr=0.9)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: oscr([1, 1], [0, 1], [1, 1]), r"both 1 .*all 2 values are 1"),
        (lambda: oscr([0, 0], [0, 1], [1, 1]), r"both 1 .*all 2 values are 0"),
        (
            lambda: oscr([1, 0], [0, 1], [1]),
            r"y_correct must have .*\(2,\); got .*\(1,",
        ),
        (
            lambda: oscr([1, 0], [0, 1], [1, 2]),
            r"1 \(right\).*y_correct\[1\].*y_pred ==",
        ),
        (lambda: oscr([1, 2], [0, 1], [1, 0]), r"1 \(in-dist.*y_true\[1\].*isin"),
        (lambda: oscr([1, 0], [0, np.nan], [1, 0]), r"y_score\[1\] is nan"),
        (lambda: aurc([1, -1], [0, 1]), r"y_correct\[1\] is .*-1"),
        (lambda: aurc([], []), r"y_score must be a vector with at least one"),
        (lambda: accepted_accuracy([1, 0], [1]), r"shapes \(2,\) and \(1,\)"),
        (lambda: accepted_accuracy([[1]], [[1]]), r"vectors of the same length"),
    ],
)
def test_refused(call, message):
    """Check that impossible arguments are refused with their values."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("metric", ["oscr", "aurc"])
def test_scorers_of_open_set_classifiers(metric):
    """Check that what is refused is scored by its class, whatever others are called."""
    X, y = make_blobs(300, centers=3, cluster_std=3.0, random_state=0)
    known = y < 2
    scorer = make_ood_scorer(metric)
    wrapped = make_pipeline(
        StandardScaler(), OpenSetClassifier(LogisticRegression(), target_tpr=0.8, cv=3)
    ).fit(X[known], y[known])
    alone = make_pipeline(wrapped[0], wrapped[1].estimator_)
    expected = scorer(alone, X, y)
    assert scorer(wrapped, X, y) == expected
    assert scorer(wrapped, X, np.where(known, y, -1)) == expected
    assert (wrapped.predict(X[known]) == -1).mean() > 0.1


def test_accepted_accuracy_of_other_kinds():
    """Check NaN for refused samples, and that labels of two kinds are refused."""
    predicted = [0.0, 1.0, np.nan, np.nan]
    assert accepted_accuracy([0, 0, 1, 1], predicted, unknown_label=np.nan) == 0.5
    with pytest.raises(ValueError, match=r"unknown_label=-1 is a number.* such as 'a'"):
        accepted_accuracy(["a", "b"], ["a", "unknown"])
    with pytest.raises(
        ValueError, match=r"unknown_label='unknown' is a string.* such as 1"
    ):
        accepted_accuracy([1, 2], [1, -1], unknown_label="unknown")
