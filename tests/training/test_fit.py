# SPDX-License-Identifier: BSD-3-Clause
"""Tests of how a fit runs: schedules, decay, smoothing, views, early stopping."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch.nn import functional as F
from torchvision.transforms import v2

from confident_clf import ConfidentClassifier

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
IMAGES = X.reshape(-1, 1, 8, 8)
# In the setting of the paper.
fast = partial(
    ConfidentClassifier,
    ood_source="joint",
    method="msp",
    max_epochs=2,
    lr_schedule=None,
    random_state=0,
)
plain = partial(fast, ood_source=None)


class RecordRates(Callback):
    """Record the learning rates of all players at the end of every epoch."""

    def on_epoch_end(self, net, **kwargs):
        optimizers = [net.optimizer_, *net.source_.optimizers()]
        rates = [opt.param_groups[0]["lr"] for opt in optimizers]
        net.history.record("rates", rates)


def weights(clf):
    """Return all parameters of the classifier as one tensor."""
    return torch.cat([p.detach().flatten() for p in clf.net_.module_.parameters()])


@pytest.mark.parametrize(
    ("ood_source", "n_players"), [("joint", 3), ("gan", 1), (["joint", "noise"], 3)]
)
def test_the_reference_schedule_moves_all_players(ood_source, n_players):
    """Check the rates of 10 epochs: a tenth from the seventh on, and back after."""
    clf = fast(
        ood_source=ood_source,
        max_epochs=10,
        lr=0.02,
        gan_lr=0.01,
        lr_schedule="step",
        callbacks=[RecordRates()],
    ).fit(X[:200], Y[:200])
    rates = np.array(clf.history_[:, "rates"])
    assert rates.shape == (10, n_players)
    at_first = [0.02, 0.01, 0.01][:n_players]
    np.testing.assert_allclose(rates[:6], [at_first] * 6)
    np.testing.assert_allclose(rates[6:], [[0.1 * rate for rate in at_first]] * 4)
    optimizers = [clf.net_.optimizer_, *clf.net_.source_.optimizers()]
    assert [opt.param_groups[0]["lr"] for opt in optimizers] == at_first


def test_a_schedule_of_the_user():
    """Check that a factor of 0 leaves the classifier as it was initialised."""
    frozen = plain(lr_schedule=lambda progress: 0.0).fit(X, Y)
    start = plain(lr=1e-30).fit(X, Y)
    torch.testing.assert_close(weights(frozen), weights(start), rtol=0, atol=0)


def test_partial_fit_has_no_schedule():
    """Check that the rate of a single pass is the rate itself."""
    one, other = (
        plain(lr_schedule=schedule).partial_fit(X, Y, classes=range(10))
        for schedule in (None, "one_cycle")
    )
    assert torch.equal(weights(one), weights(other))


def test_weight_decay_is_decoupled():
    """Check that the decay shrinks the weights by 1 - lr * decay in every step."""
    # All else is made to stand still: one constant feature gives no gradient but for
    # the bias, whose rows cancel; so the first layer's weights only decay.
    clf = plain(lr=0.01, weight_decay=0.5, max_epochs=3)
    data = np.zeros((20, 4)), np.arange(20) % 2
    decayed, start = clf.fit(*data), plain(lr=1e-30, max_epochs=3).fit(*data)
    first, first_start = (
        c.net_.module_.get_parameter("features.0.weight") for c in (decayed, start)
    )
    torch.testing.assert_close(first, first_start * (1 - 0.01 * 0.5) ** 3)


def test_label_smoothing_is_that_of_torch():
    """Check the recorded loss of a fit that does not move against torch's."""
    clf = plain(label_smoothing=0.2, lr=1e-30, max_epochs=1).fit(X, Y)
    logits = torch.from_numpy(clf.decision_function(X))
    expected = F.cross_entropy(logits, torch.from_numpy(Y), label_smoothing=0.2)
    got = clf.history_[-1]["classifier_loss"]
    assert got == pytest.approx(expected.item(), rel=1e-5)
    joint = fast(label_smoothing=0.2, lr=1e-30, max_epochs=1).fit(X, Y)
    assert joint.history_[-1]["cross_entropy"] == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize("augment", ["flip", "flip_crop", v2.RandomHorizontalFlip(1.0)])
@pytest.mark.parametrize("ood_source", [None, "joint"])
def test_views_reach_the_classifier(augment, ood_source):
    """Check on images that differ in one side only: mirrored, they are the others."""
    images = np.zeros((200, 1, 8, 8), np.uint8)
    images[::2, ..., :4] = 255
    images[1::2, ..., 4:] = 255
    y = np.arange(200) % 2
    clf = fast(ood_source=ood_source, max_epochs=10, lr=0.01)
    assert clf.fit(images, y).score(images, y) == 1.0
    clf.set_params(augment=augment).fit(images, y)
    loss = clf.history_[-1][
        "classifier_loss" if ood_source is None else "cross_entropy"
    ]
    if isinstance(augment, str):  # at random: both classes look the same
        assert loss == pytest.approx(np.log(2), abs=0.1)
    else:  # always mirrored: learned the wrong way round
        assert loss < 0.2
        assert clf.score(images, y) == 0.0


def test_early_stopping_goes_back_to_the_best():
    """Check epochs and weights of a fit whose rate grows until it must diverge."""

    def wild(progress):
        return 1.0 if progress < 0.1 else 1e4

    clf = plain(lr_schedule=wild, max_epochs=50, early_stopping=True)
    clf.set_params(n_iter_no_change=3).fit(X, Y)
    losses = clf.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert clf.n_epochs_ == len(losses) == best + 1 + 3
    assert best <= 5
    assert clf.score(X, Y) > 0.8
    assert clf.net_.callbacks_ == [
        (name, cb) for name, cb in clf.net_.callbacks_ if "early" not in name
    ]


def test_early_stopping_validates_on_rows_it_does_not_train_on():
    """Check the size of both parts, and the loss against one computed apart."""
    clf = plain(max_epochs=1, lr=1e-30, early_stopping=True, validation_fraction=0.25)
    clf.set_params(batch_size=10).fit(X, Y)
    row = clf.history_[-1]
    n_valid = int(np.ceil(0.25 * len(X)))
    assert row["valid_batch_count"] == np.ceil(n_valid / 10)
    assert row["train_batch_count"] == np.ceil((len(X) - n_valid) / 10)
    # The net stands still, so both parts together have the loss of all rows.
    logits = torch.from_numpy(clf.decision_function(X))
    expected = F.cross_entropy(logits, torch.from_numpy(Y)).item() * len(X)
    total = row["valid_loss"] * n_valid + row["train_loss"] * (len(X) - n_valid)
    assert total == pytest.approx(expected, rel=1e-5)


def test_early_stopping_in_a_search_and_in_a_second_fit():
    """Check that a warm start stops early again, and that a search may switch it."""
    clf = plain(early_stopping=True, n_iter_no_change=1, warm_start=True, max_epochs=40)
    n_first = clf.fit(X, Y).n_epochs_
    assert n_first < clf.fit(X, Y).n_epochs_ < n_first + 40
    search = GridSearchCV(plain(), {"early_stopping": [False, True]}, cv=2).fit(X, Y)
    assert (search.cv_results_["mean_test_score"] > 0.6).all()


def test_refused_before_training():
    """Check the messages for options that cannot work."""
    with pytest.raises(ValueError, match="validate on 2, of 10 classes"):
        plain(early_stopping=True, validation_fraction=0.001).fit(X, Y)
    with pytest.raises(ValueError, match=r"train on 0 .*, of 0 classes with two rows"):
        plain(early_stopping=True).fit(X[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="partial_fit is one pass"):
        plain(early_stopping=True).partial_fit(X, Y, classes=range(10))
    with pytest.raises(TypeError, match=r"lr_schedule\(0.0\) is None"):
        plain(lr_schedule=lambda progress: None).fit(X, Y)
    with pytest.raises(ValueError, match=r"augment='flip' is for images"):
        plain(augment="flip").fit(X, Y)
    with pytest.raises(ValueError, match=r"it returned shape \(3, 1, 8, 8\)"):
        plain(augment=lambda x: x[:3]).fit(IMAGES, Y)
