# SPDX-License-Identifier: BSD-3-Clause
"""Tests of training that goes on: ``partial_fit`` and ``warm_start``."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier

X, Y = load_digits(return_X_y=True)
X, X_OOD, Y = X[Y < 5] / 16, X[Y >= 5] / 16, Y[Y < 5]
# In the setting of the paper.
fast = partial(
    ConfidentClassifier, ood_source="joint", method="msp", max_epochs=2, random_state=0
)


@pytest.mark.parametrize(
    "ood_source", [None, "joint", "gan", "noise", ["joint", "gan"]]
)
def test_it_keeps_the_networks(ood_source):
    """Check that a second fit moves the same networks on, less far than a new one."""
    clf = fast(ood_source=ood_source, warm_start=True, max_epochs=5).fit(X, Y)
    first = clf.history_[0]["train_loss"]
    net = clf.net_
    clf.fit(X, Y)
    assert clf.n_epochs_ == len(clf.history_) == 10
    assert clf.history_[5]["train_loss"] < 0.5 * first
    assert clf.net_ is not net  # the earlier net is left alone
    assert len(net.history) == 5


def test_going_on_equals_one_long_fit_in_what_is_kept():
    """Check that the optimizer goes on too: Adam's step counts add up."""
    clf = fast(warm_start=True).fit(X, Y).fit(X, Y)
    steps = 4 * int(np.ceil(len(X) / 64))
    source = clf.net_.source_
    for optimizer in (
        clf.net_.optimizer_,
        source.generator_optimizer_,
        source.discriminator_optimizer_,
    ):
        states = optimizer.state_dict()["state"].values()
        assert {int(state["step"]) for state in states} == {steps}


def test_parameters_that_may_change():
    """Check that lr, batch_size and beta take effect when training goes on."""
    clf = fast(warm_start=True).fit(X, Y)
    clf.set_params(lr=0.5, batch_size=128, beta=0.7).fit(X, Y)
    assert clf.net_.optimizer_.param_groups[0]["lr"] == 0.5
    row = clf.history_[-1]
    total = row["cross_entropy"] + 0.7 * row["kl"]
    assert row["classifier_loss"] == pytest.approx(total, rel=1e-5)
    assert row["train_batch_count"] == int(np.ceil(len(X) / 128))


def test_the_second_fit_draws_other_numbers():
    """Check that shuffling is not repeated, yet the whole is repeatable."""

    class Orders(torch.nn.Linear):
        """Remembers the first sample of every batch."""

        seen = []

        def __init__(self, input_shape, n_classes):
            super().__init__(64, n_classes)

        def forward(self, x):
            if self.training:
                self.seen.append(x[0].sum().item())
            return super().forward(x)

    def run():
        Orders.seen.clear()
        clf = fast(module=Orders, ood_source=None, warm_start=True, max_epochs=1)
        clf.fit(X, Y).fit(X, Y)
        half = len(Orders.seen) // 2
        return Orders.seen[:half], Orders.seen[half:], clf.decision_function(X)

    first, second, logits = run()
    assert first != second
    np.testing.assert_array_equal(run()[2], logits)


def test_without_warm_start_fit_starts_anew():
    """Check bit equality of a second fit and a first one."""
    clf = fast().fit(X, Y)
    before = clf.decision_function(X)
    np.testing.assert_array_equal(clf.fit(X, Y).decision_function(X), before)


def test_partial_fit_learns_chunk_by_chunk():
    """Check accuracy after passes over chunks that lack classes, and the history."""
    clf = fast(ood_source="noise", lr=3e-3)
    order = np.argsort(Y, kind="stable")
    for _ in range(8):
        for chunk in np.array_split(np.random.default_rng(0).permutation(order), 4):
            clf.partial_fit(X[chunk], Y[chunk], classes=range(5))
    assert clf.score(X, Y) > 0.97
    assert clf.n_epochs_ == 32
    only = Y < 2
    clf = fast(ood_source=None).partial_fit(X[only], Y[only], classes=range(5))
    assert clf.classes_.tolist() == [0, 1, 2, 3, 4]
    assert clf.predict_proba(X).shape == (len(X), 5)


def test_partial_fit_after_fit_and_explicit_rows():
    """Check that explicit rows are kept, and replaced where new ones are given."""
    clf = fast(ood_source="explicit").fit(X, Y, X_ood=X_OOD)
    clf.partial_fit(X[:50], Y[:50])
    assert len(clf.net_.source_.rows) == len(X_OOD)
    clf.partial_fit(X[:50], Y[:50], X_ood=X_OOD[:7])
    assert len(clf.net_.source_.rows) == 7
    assert clf.n_epochs_ == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda clf: clf.partial_fit(X[:, :9], Y), "9 features, .* expecting 64"),
        (lambda clf: clf.partial_fit(X, Y + 1), r"labels \[5\] .* not among the class"),
        (lambda clf: clf.partial_fit(X, Y[:-1]), "inconsistent numbers"),
        (lambda clf: clf.partial_fit(X[:1], Y[:1]), "minimum of 2"),
        (lambda clf: clf.partial_fit(X, Y, classes=[0, 1]), "differ from those"),
        (lambda clf: clf.partial_fit(X, Y, X_ood=X), "X_ood was given"),
        (lambda clf: clf.fit(X, Y + 1), r"labels \[5\]"),
        (lambda clf: clf.fit(X * np.nan, Y), "NaN"),
    ],
)
def test_refused_calls_leave_the_fit(call, message):
    """Check the message, and that the earlier fit is as it was."""
    clf = fast(warm_start=True).fit(X, Y)
    before, expected = vars(clf).copy(), clf.decision_function(X)
    with pytest.raises(ValueError, match=message):
        call(clf)
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.decision_function(X), expected)


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({"ood_source": None}, {"ood_source": "noise"}, "'noise' .* began with None"),
        ({"ood_source": "noise"}, {"ood_source": None}, "None .* began with NoiseOOD"),
        (
            {"ood_source": ["noise", "features"]},
            {"ood_source": ["noise", "joint"]},
            r"\['noise', 'joint'\] .* began with MixtureOOD",
        ),
        (
            {"ood_source": "noise"},
            {"ood_target": "reject"},
            "ood_target='reject' .* 'uniform'",
        ),
    ],
)
def test_another_kind_of_training_cannot_go_on(first, then, message):
    """Check that it is refused, and that training anew is not."""
    clf = fast(warm_start=True, **first).fit(X, Y)
    clf.set_params(**then)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, Y)
    assert clf.set_params(warm_start=False).fit(X, Y).n_epochs_ == 2


def test_the_ood_label_is_no_class_of_partial_fit():
    """Check that it may be named among the classes, in every call."""
    labels = np.where(Y == 4, -1, Y)
    clf = fast(ood_source="noise", ood_label=-1)
    for _ in range(2):
        clf.partial_fit(X, labels, classes=np.unique(labels))
    assert clf.classes_.tolist() == [0, 1, 2, 3]
    assert clf.predict_proba(X).shape == (len(X), 4)


def test_the_first_partial_fit_needs_the_classes():
    """Check the messages for missing and for incomplete classes."""
    with pytest.raises(ValueError, match="classes must be given"):
        fast().partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"labels \[3, 4\] .* classes \[0, 1, 2\]"):
        fast().partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="only one class"):
        fast().partial_fit(X, Y, classes=[0])
    with pytest.raises(ValueError, match="at least 2 rows that are not of ood_label"):
        fast(ood_label=0).partial_fit(X[Y == 0], Y[Y == 0], classes=[1, 2])


def test_interrupted_training_leaves_the_earlier_net():
    """Check that Ctrl-C in the middle of going on changes nothing."""

    class CtrlC(torch.nn.Linear):
        """Interrupts training when told to."""

        now = False

        def __init__(self, input_shape, n_classes):
            super().__init__(64, n_classes)

        def forward(self, x):
            if CtrlC.now and self.training:
                raise KeyboardInterrupt
            return super().forward(x)

    clf = fast(module=CtrlC, warm_start=True).fit(X, Y)
    expected = clf.decision_function(X)
    CtrlC.now = True
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    np.testing.assert_array_equal(clf.decision_function(X), expected)
    assert clf.n_epochs_ == 2
