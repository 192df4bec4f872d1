# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the optimizers against torch's own."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from confident_clf._training._optim import adam, adamw, can_fuse, descend


def steps(optimizer, parameters, n, seed):
    """Make steps with random gradients; the last parameter has one every other time."""
    generator = torch.Generator().manual_seed(seed)
    for i in range(n):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(
                parameter
            )
        if i % 2:
            parameters[-1].grad = None
        optimizer.step()


def as_given(ours, parameters):
    """Return parameters as each function takes them, for `adamw` in two groups."""
    if ours is adam:
        return parameters
    return [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.1}]


@pytest.mark.parametrize("dtypes", ["ff", "dd", "fd"])
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (adam, torch.optim.Adam, {"betas": (0.5, 0.999), "weight_decay": 0.1}),
        (adamw, torch.optim.AdamW, {"weight_decay": 0.1, "eps": 1e-6}),
        (adamw, torch.optim.AdamW, {"amsgrad": True}),
        (adamw, torch.optim.AdamW, {"maximize": True}),
    ],
)
def test_steps_are_those_of_torch(ours, theirs, options, dtypes):
    """Check weights and state to the bit, through a copy and a loaded state too."""
    kinds = {"f": torch.float32, "d": torch.float64}
    parameters = [
        nn.Parameter(torch.linspace(-1, 1, size, dtype=kinds[letter]))
        for size, letter in zip((210, 5), dtypes, strict=True)
    ]
    expected = deepcopy(parameters)
    optimizer = ours(as_given(ours, parameters), **options)
    reference = theirs(as_given(ours, expected), fused=True, **options)
    steps(optimizer, parameters, 5, seed=0)
    steps(reference, expected, 5, seed=0)
    state = deepcopy(optimizer.state_dict())
    optimizer = ours(as_given(ours, parameters), **options)
    optimizer.load_state_dict(state)
    optimizer, parameters = deepcopy((optimizer, parameters))
    steps(optimizer, parameters, 5, seed=1)
    steps(reference, expected, 5, seed=1)
    for a, b in zip(parameters, expected, strict=True):
        assert torch.equal(a, b)
        for name, value in reference.state[b].items():
            assert torch.equal(optimizer.state[a][name], value), name


def test_a_scheduler_of_torch_sees_the_steps():
    """Check that no warning says that the optimizer made none."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = adamw([{"params": [parameter]}], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for _ in range(3):
        steps(optimizer, [parameter], 1, seed=0)
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 1 / 8
    assert optimizer.state[parameter]["step"] == 3


def test_a_step_forgets_the_bfloat16_copies_of_the_weights():
    """Check that a player's next pass sees the weights that its step moved to."""
    layer = nn.Linear(4, 4)
    optimizer = adamw([{"params": list(layer.parameters())}], lr=1.0)
    x = torch.randn(8, 4)
    with torch.autocast("cpu", torch.bfloat16):
        descend(layer(x).float().square().sum(), optimizer, "classifier")
        after = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), after)


def test_fused_only_where_torch_can():
    """Check real and complex parameters: both move, one of them fused."""
    for dtype, fused in ((torch.float32, True), (torch.complex64, False)):
        parameter = nn.Parameter(torch.ones(3, dtype=dtype))
        assert can_fuse([parameter]) == fused
        optimizer = adamw([{"params": [parameter]}], lr=0.1, weight_decay=0)
        descend(parameter.abs().sum(), optimizer, "classifier")
        torch.testing.assert_close(parameter.abs(), torch.full((3,), 0.9))
