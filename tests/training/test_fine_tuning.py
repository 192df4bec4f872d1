# SPDX-License-Identifier: BSD-3-Clause
"""Tests of networks given as instances, of rates for their parts, and of a warm-up."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn

from confident_clf import ConfidentClassifier, dumps, loads
from confident_clf.modules import WrappedNetwork

rng = np.random.default_rng(0)
X = rng.random((60, 1, 8, 8)).astype(np.float32)
Y = np.arange(60) % 3
fast = partial(
    ConfidentClassifier,
    ood_source=None,
    max_epochs=1,
    batch_size=64,
    lr=0.01,
    lr_schedule=None,
    method="msp",
    random_state=0,
    device="cpu",
)


class Backbone(nn.Module):
    """A network with BatchNorm in two parts, with and without weights of its own."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(144, 8), nn.BatchNorm1d(8, affine=False)
        )
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.body(self.stem(x)))


def make():
    """Return a network that looks trained, in evaluation mode."""
    torch.manual_seed(0)
    network = Backbone()
    network.train()(torch.tensor(X))
    return network.eval()


PRETRAINED = make()
STATE = deepcopy(PRETRAINED.state_dict())


def moved(clf):
    """Return the largest change of each tensor of the network."""
    now = clf.net_.module_.state_dict()
    return {name: float((now[name] - STATE[name]).abs().max()) for name in STATE}


def of_part(changes, *parts):
    """Return the changes of parts."""
    return [size for name, size in changes.items() if name.split(".")[0] in parts]


@pytest.mark.parametrize(
    "module",
    [PRETRAINED, lambda *_: PRETRAINED, partial(lambda kept, *_: kept, PRETRAINED)],
)
def test_the_network_itself_is_not_trained(module):
    """Check that two fits are the same, and that the network stays as it is."""
    first = fast(module).fit(X, Y)
    expected = first.predict_proba(X)
    second = fast(module, lr=0.1).fit(X, Y[::-1].copy())
    np.testing.assert_array_equal(first.predict_proba(X), expected)
    assert np.abs(second.predict_proba(X) - expected).max() > 0.01
    np.testing.assert_array_equal(fast(module).fit(X, Y).predict_proba(X), expected)
    for name, value in PRETRAINED.state_dict().items():
        assert torch.equal(value, STATE[name])
    assert not any(part.training for part in PRETRAINED.modules())


@pytest.mark.parametrize("module", [PRETRAINED, lambda *_: PRETRAINED])
def test_folds_do_not_leak(module):
    """Check labels that are random: no fold can be better than chance by far."""
    labels = np.random.default_rng(1).integers(3, size=60)
    clf = fast(module, max_epochs=20)
    assert clf.fit(X, labels).score(X, labels) > 0.9  # it could learn them by heart
    assert max(cross_val_score(clf, X, labels, cv=3)) < 0.7
    search = GridSearchCV(clf, {"lr": [0.01]}, cv=2).fit(X, labels)
    assert search.best_score_ < 0.6


def test_training_begins_with_its_weights():
    """Check the prediction after a step that is too small to change it."""
    clf = fast(clone(fast(PRETRAINED)).module, lr=1e-12, backbone_lr=0).fit(X, Y)
    with torch.no_grad():
        expected = PRETRAINED(torch.tensor(X)).softmax(dim=1).numpy()
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)


def test_rows_of_an_instance_are_not_rejected():
    """Check that the default does not ask a network for a logit that it lacks."""
    network = nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))
    clf = ConfidentClassifier(network, max_epochs=1).fit(X.reshape(60, 64), Y)
    assert clf.net_.ood_target == "uniform"
    with pytest.raises(ValueError, match=r"\(n, 4\).*one for none of them.*'uniform'"):
        ConfidentClassifier(lambda *_: network, max_epochs=1).fit(X.reshape(60, 64), Y)


@pytest.mark.parametrize("source", [None, "noise", "features", "joint"])
def test_a_frozen_backbone_does_not_move(source):
    """Check weights and BatchNorm statistics, with every kind of step beside."""
    clf = fast(PRETRAINED, backbone_lr=0, ood_source=source, max_epochs=2).fit(X, Y)
    changes = moved(clf)
    assert max(of_part(changes, "stem", "body")) == 0
    assert min(of_part(changes, "fc")) > 0.005
    loaded = loads(dumps(clf), module=PRETRAINED)
    assert max(of_part(moved(loaded.partial_fit(X, Y)), "stem", "body")) == 0


def test_what_the_user_froze_does_not_move():
    """Check the statistics of a part that is frozen in the network itself."""
    network = make()
    network.stem.requires_grad_(False)
    changes = moved(fast(network).fit(X, Y))
    assert max(of_part(changes, "stem")) == 0
    assert changes["body.2.running_mean"] > 0 and min(of_part(changes, "fc")) > 0


def test_without_freezing_the_statistics_move():
    """Check that the tests above can fail."""
    changes = moved(fast(PRETRAINED).fit(X, Y))
    assert min(changes.values()) > 0


@pytest.mark.parametrize("factor", [1.0, 0.25])
@pytest.mark.parametrize(
    ("backbone_lr", "rates"),
    [
        (1e-4, {"stem": 1e-4, "body": 1e-4, "fc": 0.01}),
        ({"stem": 1e-3}, {"stem": 1e-3, "body": 0.01, "fc": 0.01}),
        ({"stem": 1e-3, "fc": 0.1}, {"stem": 1e-3, "body": 0.01, "fc": 0.1}),
    ],
)
@pytest.mark.parametrize("wrap", [False, True])
def test_first_step_of_each_part(backbone_lr, rates, factor, wrap):
    """Check its length: Adam's first step moves each weight by the learning rate."""
    network = WrappedNetwork(PRETRAINED) if wrap else PRETRAINED
    clf = fast(network, backbone_lr=backbone_lr, lr_schedule=lambda progress: factor)
    clf.fit(X, Y)
    trained = clf.net_.module_.network if wrap else clf.net_.module_
    for name, weight in trained.named_parameters():
        step = (weight - STATE[name]).abs().max().item()
        # The bias before a BatchNorm has no gradient but rounding.
        if name not in ("body.1.bias", "stem.0.bias"):
            assert step == pytest.approx(rates[name.split(".")[0]] * factor, rel=0.01)


def test_the_smallest_part_that_is_named_counts():
    """Check a part inside another, whatever comes first, and what 0 freezes."""
    rates = {"stem.1": 0.0, "stem": 1e-3}
    changes = moved(fast(PRETRAINED, backbone_lr=rates).fit(X, Y))
    assert changes["stem.0.weight"] == pytest.approx(1e-3, rel=0.01)
    frozen = [size for name, size in changes.items() if name.startswith("stem.1.")]
    assert max(frozen) == 0


def test_rates_stay_when_training_goes_on():
    """Check the rates of the optimizer after `lr` was changed."""
    clf = fast(PRETRAINED, backbone_lr=1e-4, warm_start=True).fit(X, Y)
    clf.set_params(lr=0.05).fit(X, Y)
    rates = {group["lr"] for group in clf.net_.optimizer_.param_groups}
    assert rates == {1e-4, 0.05}


def test_the_head_is_warmed_up():
    """Check which parts move in the first epochs and after them."""
    begin = moved(fast(PRETRAINED, head_epochs=2, max_epochs=2).fit(X, Y))
    assert max(of_part(begin, "stem", "body")) == 0 < min(of_part(begin, "fc"))
    clf = fast(PRETRAINED, head_epochs=2, max_epochs=3).fit(X, Y)
    assert min(moved(clf).values()) > 0
    assert all(weight.requires_grad for weight in clf.net_.module_.parameters())


def test_a_fit_with_a_warm_up_is_resumed(tmp_path):
    """Check that a checkpoint knows how far the warm-up is."""
    params = {"head_epochs": 2, "backbone_lr": 1e-3, "max_epochs": 3}
    whole = fast(PRETRAINED, **params).fit(X, Y)
    fast(PRETRAINED, **params, checkpoint=tmp_path).fit(X, Y)
    sorted(tmp_path.iterdir())[-1].unlink()  # as if the process had been killed
    resumed = fast(PRETRAINED, **params, checkpoint=tmp_path).fit(X, Y)
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_a_warning_helps_with_a_pretrained_network():
    """Check what it says, and that frozen layers are not warned of."""
    with pytest.warns(UserWarning, match=r"'stem.1' and 1 more.*backbone_lr=0"):
        fast(PRETRAINED, ood_source="noise").fit(X, Y)
    fast(PRETRAINED, ood_source="noise", backbone_lr=0).fit(X, Y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"backbone_lr": {"layer9": 0.1}}, r"'layer9', but .* are: stem, body, fc\."),
        ({"backbone_lr": dict.fromkeys(["stem", "body", "fc"], 0)}, "nothing to train"),
        ({"backbone_lr": {"stem": -1.0}}, r"'stem'.*-1\.0.*at least 0"),
        ({"backbone_lr": {"stem": "slow"}}, r"'stem'.*'slow'.*at least 0"),
        ({"head_epochs": 1, "module": lambda s, k: nn.Sequential(make(), nn.ReLU())},
         r"torch.nn.Linear"),
    ],
)  # fmt: skip
def test_what_does_not_fit(params, message):
    """Check the errors before training."""
    with pytest.raises(ValueError, match=message):
        fast(**{"module": PRETRAINED, **params}).fit(X, Y)
