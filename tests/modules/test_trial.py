# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what is asked of a network before it is used."""

import pytest
import torch
from torch import nn

from confident_clf._networks._trial import keeps_nothing
from confident_clf.modules import MLP, DCDiscriminator, SmallConvNet


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
