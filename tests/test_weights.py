# SPDX-License-Identifier: BSD-3-Clause
"""Tests of `sample_weight` and `class_weight`."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.ensemble import BaggingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from skorch.callbacks import EpochScoring
from torch.nn import functional as F

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.losses import confidence_loss
from confident_clf.utils._weights import with_mean_one

X, Y = make_blobs([40, 15, 5], cluster_std=3, random_state=0)
W = np.random.default_rng(0).integers(0, 4, size=60)
CE = {"ood_source": None, "max_epochs": 8, "random_state": 0, "lr": 0.01}
one_batch = partial(ConfidentClassifier, **CE, batch_size=1000)
fast = partial(ConfidentClassifier, **CE)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.5, 2: 7}])
def test_weights_are_repeated_rows(class_weight):
    """Check integer weights against a fit on repeated rows, in one batch of all."""
    rows = np.repeat(np.arange(60), W)
    clf = one_batch(class_weight=class_weight)
    repeated = one_batch(class_weight=class_weight).fit(X[rows], Y[rows])
    weighted = clf.fit(X, Y, sample_weight=W)
    assert_allclose(
        weighted.decision_function(X), repeated.decision_function(X), atol=1e-5
    )
    plain = one_batch(class_weight=class_weight).fit(X, Y)
    assert abs(plain.decision_function(X) - weighted.decision_function(X)).max() > 0.01


@pytest.mark.parametrize("early_stopping", [False, True])
def test_balanced_is_the_dict_of_scikit_learn(early_stopping):
    """Check that both give the same network, also with rows held back."""
    names = np.array(["many", "some", "few"])[Y]
    classes = np.unique(names)
    weights = compute_class_weight("balanced", classes=classes, y=names)
    table = dict(zip(classes.tolist(), weights, strict=True))
    one, other = (
        fast(class_weight=w, early_stopping=early_stopping).fit(X, names)
        for w in ("balanced", table)
    )
    assert_allclose(one.decision_function(X), other.decision_function(X), atol=1e-5)


def test_loss_by_hand():
    """Check that weights count in the cross entropy, and not in the KL term."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    y, weight = torch.tensor([0, 0, 1]), torch.tensor([3.0, 0.0, 0.5])
    loss, ce, kl = confidence_loss(logits, y, logits, 0.3, weight=weight)
    by_hand = (3 * np.log1p(np.exp(-2)) + 0.5 * np.log(2)) / 3
    assert_allclose([ce, loss], [by_hand, by_hand + 0.3 * kl], rtol=1e-6)
    assert kl == confidence_loss(logits, y, logits, 0.3)[2]


def test_validation_loss_is_weighted():
    """Check the last validation loss against one of the logits at the end."""
    clf = fast(class_weight={2: 9}).fit(X, Y, X_val=X, y_val=Y)
    ce = F.cross_entropy(
        torch.tensor(clf.decision_function(X)), torch.tensor(Y), reduction="none"
    )
    expected = np.average(ce, weights=np.where(Y == 2, 9, 1))
    assert_allclose(clf.history_[-1]["valid_loss"], expected, rtol=1e-4)


def test_partial_fit_does_not_scale():
    """Check that weights of 2 are not those of 1: the loss is twice as large."""
    losses = [
        one_batch()
        .partial_fit(X, Y, classes=[0, 1, 2], sample_weight=np.full(60, weight))
        .history_[-1]["train_loss"]
        for weight in (1, 2)
    ]
    assert_allclose(losses[1], 2 * losses[0], rtol=1e-5)
    with pytest.raises(ValueError, match="class_weight='balanced' needs all labels"):
        fast(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.where(np.arange(60) == 7, -1, 1), "is -1 in row 7.*leave these rows out"),
        (np.where(np.arange(60) == 9, np.nan, 1), "is nan in row 9"),
        (np.full(60, 1e300), "must be finite"),
        (np.ones(59), r"shape \(59,\), but X has 60 rows"),
        (np.ones((60, 1)), r"shape \(60, 1\)"),
        (["a"] * 60, "must hold numbers"),
        (np.zeros(60), "is zero in all 60 rows"),
        (np.where(Y == 2, 1, 0), "only one class"),
    ],
)
def test_bad_weights(weight, message):
    """Check that they are refused with the remedy, and nothing is fitted."""
    for class_weight in (None, "balanced"):
        clf = fast(class_weight=class_weight)
        with pytest.raises(ValueError, match=message):
            clf.fit(X, Y, sample_weight=weight)
        assert not hasattr(clf, "net_")


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("method", ["msp", "knn"])
def test_rows_of_weight_zero_are_not_there(method, early_stopping):
    """Check network, noise and score against a fit without these rows."""
    keep = np.arange(60) % 4 > 0
    params = {"ood_source": "noise", "method": method, "early_stopping": early_stopping}
    clf = ConfidentClassifier(**CE | params).fit(X, Y, sample_weight=keep)
    other = ConfidentClassifier(**CE | params).fit(X[keep], Y[keep])
    assert_allclose(clf.ood_score(X), other.ood_score(X), rtol=1e-5)


def test_bagging_with_a_rare_class():
    """Check an ensemble whose members are given rows as weights, some not drawn."""
    rare = np.where(np.arange(60) < 1, "rare", np.where(Y > 0, "one", "zero"))
    bagging = BaggingClassifier(fast(), n_estimators=8, random_state=0).fit(X, rare)
    pairs = zip(bagging.estimators_, bagging.estimators_samples_, strict=True)
    knows = [(len(member.classes_) == 3, 0 in rows) for member, rows in pairs]
    assert all(knows_rare == was_drawn for knows_rare, was_drawn in knows)
    assert not all(was_drawn for _, was_drawn in knows)
    assert bagging.predict_proba(X).shape == (60, 3)


def test_balanced_goes_on_without_a_class():
    """Check training that continues on rows of two of the three classes."""
    clf = fast(class_weight="balanced", warm_start=True).fit(X, Y)
    two = Y < 2
    clf.fit(X[two], Y[two], X_val=X, y_val=Y)
    n, totals = two.sum() / 3, np.bincount(Y[two])
    weight = np.append(n / totals, 1.0)[Y]
    ce = F.cross_entropy(
        torch.tensor(clf.decision_function(X)), torch.tensor(Y), reduction="none"
    )
    expected = np.average(ce, weights=weight)
    assert_allclose(clf.history_[-1]["valid_loss"], expected, rtol=1e-4)


def test_weights_follow_their_rows():
    """Check that rows with `ood_label` take their weights with them."""
    y = np.where(np.arange(60) % 7 == 0, -1, Y)
    known = y != -1
    one = fast(ood_label=-1).fit(X, y, sample_weight=W + 1)
    other = fast().fit(X[known], y[known], sample_weight=(W + 1)[known])
    assert_array_equal(one.decision_function(X), other.decision_function(X))


def test_checkpoint_knows_the_weights(tmp_path):
    """Check that a checkpoint of other weights is refused."""
    fast(checkpoint=tmp_path).fit(X, Y, sample_weight=W + 1)
    with pytest.raises(ValueError, match="sample_weight"):
        fast(checkpoint=tmp_path).fit(X, Y)


def test_routing_and_callbacks():
    """Check a pipeline and a detector with routing, and a callback on batches."""
    callbacks = [EpochScoring("accuracy", lower_is_better=False, on_train=True)]
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        clf = fast(callbacks=callbacks).set_fit_request(sample_weight=True)
        pipe = make_pipeline(scaler, clf).fit(X, Y, sample_weight=W + 1)
        detector = OODDetector(clf, target_tpr=0.5, random_state=0)
        detector.fit(X, Y, sample_weight=W + 1)
    direct = fast().fit(StandardScaler().fit_transform(X), Y, sample_weight=W + 1)
    expected = direct.decision_function(StandardScaler().fit_transform(X))
    assert_array_equal(pipe.decision_function(X), expected)
    unweighted = OODDetector(fast(), target_tpr=0.5, random_state=0).fit(X, Y)
    assert (detector.ood_score(X) != unweighted.ood_score(X)).any()


def test_large_weights_have_mean_one():
    """Check weights whose sum would be infinite."""
    assert_allclose(with_mean_one(np.array([1.5e308, 0.5e308])), [1.5, 0.5])
