# SPDX-License-Identifier: BSD-3-Clause
"""Tests of BatchNorm that takes its statistics from a part of the batch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from confident_clf._networks._batch_norm import (
    batch_norms,
    frozen_batch_norms,
    statistics_of_first,
)

LAYERS = [
    (lambda: nn.BatchNorm1d(3), (3,)),
    (lambda: nn.BatchNorm1d(3), (3, 5)),
    (lambda: nn.BatchNorm2d(3), (3, 4, 4)),
    (lambda: nn.BatchNorm2d(3, affine=False), (3, 4, 4)),
    (lambda: nn.BatchNorm2d(3, momentum=None), (3, 4, 4)),
    (lambda: nn.BatchNorm2d(3, track_running_stats=False), (3, 4, 4)),
    (lambda: nn.BatchNorm3d(3, eps=0.1), (3, 2, 3, 2)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_as_if_the_rest_were_not_there(make, shape):
    """Check outputs and running averages against two passes of torch's own."""
    torch.manual_seed(0)
    layer, plain = make(), make()
    if layer.affine:
        for norm in (layer, plain):
            norm.weight.data = torch.tensor([1.0, 2, 3])
            norm.bias.data = torch.tensor([4.0, 5, 6])
    first, rest = torch.randn(8, *shape), 100 + 7 * torch.randn(5, *shape)
    with statistics_of_first(layer, 8, 13):
        got_first, got_rest = layer(torch.cat([first, rest])).split([8, 5])
    torch.testing.assert_close(got_first, plain(first))
    assert layer.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[name], value)
    dims = [d for d in range(first.ndim) if d != 1]
    variance, mean = torch.var_mean(first, dims, correction=0)
    expected = F.batch_norm(
        rest, mean, variance, plain.weight, plain.bias, eps=plain.eps
    )
    torch.testing.assert_close(got_rest, expected)
    assert "forward" not in vars(layer)


def test_gradient_goes_through_the_statistics():
    """Check the gradient against finite differences."""
    layer = nn.BatchNorm1d(2).double()

    def both(x):
        with statistics_of_first(layer, 4, 7):
            return layer(x)

    x = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(both, x)


def test_layers_that_see_something_else_are_left_alone():
    """Check a BatchNorm over parts of samples, and that errors leave no trace."""
    x = torch.randn(6, 4)
    network = nn.Sequential(
        nn.Unflatten(1, (2, 2)), nn.Flatten(0, 1), nn.BatchNorm1d(2)
    )
    expected = network(x)
    with statistics_of_first(network, 3, 6):
        torch.testing.assert_close(network(x), expected)
    with (
        pytest.raises(ValueError, match="expected 2D or 3D"),
        statistics_of_first(network, 3, 6),
    ):
        network[2](torch.zeros(1))
    assert "forward" not in vars(network[2])


def test_names():
    """Check which layers count as BatchNorm."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.GroupNorm(1, 2))
    assert list(batch_norms(network)) == ["1"]


def test_a_batch_without_the_rest_goes_through_torch():
    """Check outputs and statistics to the bit, where all samples are the first."""
    torch.manual_seed(0)
    layer, plain, x = nn.BatchNorm1d(3), nn.BatchNorm1d(3), torch.randn(8, 3)
    with statistics_of_first(layer, 8, 8):
        assert "forward" not in vars(layer)
        got = layer(x)
    assert torch.equal(got, plain(x))
    assert torch.equal(layer.running_var, plain.running_var)


def test_frozen_layers():
    """Check which layers are found: by their weights, or by those around them."""
    network = nn.ModuleDict(
        {
            "frozen": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)),
            "mixed": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
            "free": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)),
            "bare": nn.BatchNorm1d(2, affine=False),
        }
    )
    network["frozen"].requires_grad_(False)
    network["mixed"][1].requires_grad_(False)
    assert list(frozen_batch_norms(network)) == ["frozen.1", "mixed.1"]
    assert list(frozen_batch_norms(nn.BatchNorm1d(2, affine=False))) == []
    assert len(frozen_batch_norms(network.requires_grad_(False))) == 4


def test_frozen_layers_normalise_the_rest_as_at_inference():
    """Check a layer in evaluation mode inside of a batch with a rest."""
    layer, x = nn.BatchNorm1d(3).eval(), torch.randn(8, 3)
    expected = layer(x)
    with statistics_of_first(layer, 5, 8):
        assert torch.equal(layer(x), expected)
    assert torch.equal(layer.running_mean, torch.zeros(3))
