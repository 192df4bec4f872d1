# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the reject class, ``ood_target="reject"``."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import make_blobs

from confident_clf import ConfidentClassifier
from confident_clf.scores._make_score import SCORES

CENTERS = [[3, 0], [-1.5, 2.6], [-1.5, -2.6]]
X, Y = make_blobs(300, centers=CENTERS, cluster_std=0.5, random_state=0)


def circle(radius, n=500):
    """Return points on a circle around the origin."""
    angle = np.linspace(0, 2 * np.pi, n)
    return radius * np.c_[np.cos(angle), np.sin(angle)]


def fit(ood_target, **params):
    """Return a classifier that was told of a ring around the blobs."""
    params = {"ood_source": "explicit", "method": "msp", "max_epochs": 30, **params}
    clf = ConfidentClassifier(
        ood_target=ood_target, beta=1.0, lr=0.01, random_state=0, **params
    )
    return clf.fit(
        X, Y, X_ood=circle(7) if params["ood_source"] == "explicit" else None
    )


def test_it_stays_unsure_far_from_the_data():
    """Check that at radius 1000 uniform is sure nearly everywhere, reject nowhere."""
    far = circle(1000)
    assert (fit("uniform").ood_score(far) < 0.1).mean() > 0.8
    assert (fit("reject").ood_score(far) < 0.1).mean() < 0.05


def test_probabilities_are_over_the_classes():
    """Check shapes, accuracy, and that the score counts rejection in."""
    clf = fit("reject")
    p = clf.predict_proba(X)
    assert p.shape == clf.decision_function(X).shape == (300, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert clf.score(X, Y) > 0.99
    outputs = clf.net_.logits(X.astype(np.float32)).astype(float)
    assert outputs.shape == (300, 4)
    full = np.exp(log_softmax(outputs, axis=1))
    # Bayes' rule turns a prior of one half for unknown samples into one of 5 %.
    joint = full * [0.95, 0.95, 0.95, 0.05]
    posterior = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, posterior[:, :3] + posterior[:, 3:] / 3, atol=1e-12)
    np.testing.assert_array_equal(clf.predict(X), outputs[:, :3].argmax(axis=1))
    np.testing.assert_allclose(clf.ood_score(X), 1 - full[:, :3].max(1), atol=1e-9)
    np.testing.assert_allclose(
        clf.ood_score(X, "max_logit"), outputs[:, 3] - outputs[:, :3].max(axis=1)
    )


def test_probabilities_far_from_the_data():
    """Check that they tend to those of a guess with reject, and to 1 without."""
    far = circle(1000)
    np.testing.assert_allclose(fit("reject").predict_proba(far), 1 / 3, atol=0.05)
    assert np.median(fit("uniform").predict_proba(far).max(axis=1)) > 0.99


@pytest.mark.parametrize("method", sorted(SCORES))
def test_every_score_rejects_far_from_the_data(method):
    """Check that no score takes a point for known that the network rejects."""
    clf = fit("reject", method=method)
    far = circle(1000)
    rejected = clf.ood_score(far, "energy") > 5  # log-odds of rejection
    assert rejected.mean() > 0.95
    least = np.quantile(clf.ood_score(X), 0.95)
    assert (clf.ood_score(far[rejected]) > least).all()


def test_two_classes_have_one_logit():
    """Check that the binary decision function leaves rejection out."""
    clf = ConfidentClassifier(ood_target="reject", max_epochs=2, random_state=0)
    clf.fit(X, Y == 0)
    p = clf.predict_proba(X)
    np.testing.assert_allclose(clf.decision_function(X), np.log(p[:, 1] / p[:, 0]))


# 150 steps are few for a GAN; what it makes can be rejected all the same.
@pytest.mark.filterwarnings("ignore:The GAN did not converge")
@pytest.mark.parametrize("ood_source", ["joint", "noise"])
def test_every_source_can_be_rejected(ood_source):
    """Check that the reject loss falls, and is named in the history."""
    clf = fit("reject", ood_source=ood_source)
    losses = [row["reject_loss"] for row in clf.history_]
    assert losses[-1] < 0.7 * losses[0]
    assert clf.score(X, Y) > 0.97


def test_without_a_source_there_is_nothing_to_reject():
    """Check that plain cross entropy has no logit that nothing would train."""
    clf = fit("reject", ood_source=None)
    assert clf.net_.logits(X.astype(np.float32)).shape == (300, 3)
