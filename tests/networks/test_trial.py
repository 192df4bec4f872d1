# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what is asked of a network before it is used."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from confident_clf import ConfidentClassifier
from confident_clf._networks._trial import (
    evaluating,
    flop,
    keeps_nothing,
    prefer_channels_last,
)
from confident_clf.modules import MLP, DCDiscriminator, DCGenerator, SmallConvNet

X, Y = load_digits(return_X_y=True)
IMAGES = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)


class Keeping(nn.Module):
    """A network that keeps what one layer makes for the next."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, x):
        self.kept = self.first(x)
        return self.second(self.kept)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (MLP((4,), 3), True),
        (SmallConvNet((1, 8, 8), 3), True),
        (DCDiscriminator((1, 8, 8), width=4), True),
        (Keeping(), False),
        (nn.Sequential(nn.Linear(2, 2), Keeping()), False),
        (torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), False),
    ],
    ids=["rows", "images", "BatchNorm", "user's", "user's inside", "parametrized"],
)
def test_what_keeps_nothing(network, expected):
    """Check that nothing but torch's own layers and ours is trusted."""
    assert keeps_nothing(network.eval()) is expected


def test_hooks_may_keep_anything():
    """Check that a hook of any layer is enough."""
    network = MLP((4,), 3)
    handle = network.head.register_forward_hook(lambda *_: None)
    assert not keeps_nothing(network)
    handle.remove()
    assert keeps_nothing(network)


def test_flop_of_a_dense_network():
    """Check the count against 2 * inputs * outputs of each layer and sample."""
    assert flop(MLP((3,), 4, hidden=(8,)), torch.zeros(5, 3)) == 5 * 2 * (24 + 32)


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (SmallConvNet((3, 16, 24), 5), torch.zeros(2, 3, 16, 24)),
        (DCGenerator(7, (3, 16, 16), width=4), torch.zeros(2, 7)),
    ],
    ids=["convolutions", "transposed"],
)
def test_flop_of_a_convolutional_network(network, x):
    """Check the count against torch's counter."""
    with FlopCounterMode(display=False) as counter:
        network(x)
    assert flop(network, x) == counter.get_total_flops()


class Viewing(nn.Module):
    """A network that needs the usual layout, as many tutorials' do."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 36, n_classes)

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


def test_layout():
    """Check which networks get channels-last filters, and that logits stay."""
    x = torch.randn(4, 1, 8, 8)
    for network, expected in (
        (SmallConvNet((1, 8, 8), 3), True),
        (Viewing((1, 8, 8), 3), False),
    ):
        before = network.eval()(x).detach()
        network.train()
        prefer_channels_last(network, x)
        assert network.training
        last = torch.channels_last
        filters = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1]
        assert all(p.is_contiguous(memory_format=last) == expected for p in filters)
        torch.testing.assert_close(network.eval()(x), before, rtol=1e-4, atol=1e-5)
    clf = ConfidentClassifier(Viewing, max_epochs=1).fit(IMAGES, Y)
    assert clf.score(IMAGES, Y) > 0.2


def test_each_layer_gets_its_mode_back():
    """Check a part that was in evaluation mode before the trial."""
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    with evaluating(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == [True, True, False]
