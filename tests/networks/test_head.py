# SPDX-License-Identifier: BSD-3-Clause
"""Tests of finding a classifier's last linear layer."""

from threading import Thread

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18

from confident_clf._networks._head import (
    find_head,
    last_linear,
    penultimate,
    recorded_inputs,
)
from confident_clf.modules import MLP, VGG, SmallConvNet


class Reversed(nn.Module):
    """Layers that run in another order than they are defined in."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 2)
        self.first = nn.Linear(3, 5)

    def forward(self, x):
        return self.last(self.first(x))


@pytest.mark.parametrize(
    ("network", "shape", "name"),
    [
        (nn.Linear(3, 2), (3,), ""),
        (MLP((3,), 2), (3,), "head"),
        (Reversed(), (3,), "last"),
        (SmallConvNet((1, 8, 8), 2, width=4), (1, 8, 8), "head"),
        (VGG((3, 32, 32), 2), (3, 32, 32), "head.6"),
        (resnet18(num_classes=2), (3, 32, 32), "fc"),
        (mobilenet_v3_small(num_classes=2), (3, 32, 32), "classifier.3"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_name_and_features(network, shape, name):
    """Check the layer's name, and that it maps what was recorded to the logits."""
    x = torch.randn(4, *shape)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    assert find_head(network, x) == name
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key])  # BatchNorm has not seen the samples
    head = network.eval().get_submodule(name)
    with recorded_inputs(head) as inputs:
        logits = network(x)
    (features,) = inputs
    assert last_linear(network, x) is head
    torch.testing.assert_close(penultimate(network, x), features)
    torch.testing.assert_close(features @ head.weight.T + head.bias, logits)
    network(x)
    assert len(inputs) == 1  # no hook is left


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=1)),
        nn.Sequential(
            nn.Unflatten(1, (3, 1)), nn.Linear(1, 2), nn.AdaptiveAvgPool1d(2)
        ),
        nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Conv1d(3, 2, 1), nn.Flatten()),
    ],
)
def test_refused(network):
    """Check networks that end otherwise, and that no hook is left on them."""
    with pytest.raises(ValueError, match=r"must end with a torch.nn.Linear on one"):
        find_head(network, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"must end with a torch.nn.Linear on one"):
        last_linear(network, torch.zeros(2, 3))
    assert not any(layer._forward_hooks for layer in network.modules())


def test_features_are_vectors():
    """Check that layers on sequences, and what comes after the last, do not count."""
    middle = nn.Linear(4, 5)
    network = nn.Sequential(
        nn.Linear(3, 4),
        middle,
        nn.Tanh(),
        nn.Unflatten(1, (5, 1)),
        nn.Linear(1, 2),
        nn.AdaptiveAvgPool1d(2),
    )
    x = torch.randn(6, 3)
    torch.testing.assert_close(penultimate(network, x), network[0](x))
    network[1] = nn.Identity()
    torch.testing.assert_close(
        penultimate(network[2:3].append(network[0]), x), x.tanh()
    )
    with pytest.raises(ValueError, match=r"module=Tanh has no torch.nn.Linear on one"):
        penultimate(nn.Tanh(), x)


class Interrupted(Reversed):
    """A network that another thread uses before it returns."""

    def forward(self, x):
        logits = super().forward(x)
        if (x > 0).all():
            other = Thread(target=self, args=(-x,))
            other.start()
            other.join()
        return logits


def test_features_are_those_of_this_thread():
    """Check that what another thread does with the network is not recorded."""
    network, x = Interrupted(), torch.rand(4, 3) + 1
    torch.testing.assert_close(penultimate(network, x), network.first(x))
    assert last_linear(network, x) is network.last
