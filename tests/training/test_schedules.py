# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the learning-rate schedules against those of torch."""

import pytest
import torch
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR

from confident_clf._training._schedules import ScheduledRates, one_cycle, step

N_STEPS = 10_000


def optimizer(lr):
    """Return an optimizer of one parameter."""
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [
        (step, lambda opt: MultiStepLR(opt, [int(0.6 * N_STEPS)], gamma=0.1)),
        (
            one_cycle,
            lambda opt: OneCycleLR(
                opt, 0.02, total_steps=N_STEPS, cycle_momentum=False
            ),
        ),
    ],
)
def test_rates_are_those_of_torch(schedule, reference):
    """Check the rate of every step, up to one step's difference of the end points."""
    ours, theirs = optimizer(0.02), optimizer(0.02)
    scheduler = reference(theirs)
    rates = ScheduledRates(schedule, [ours], N_STEPS)
    for _ in range(N_STEPS - 1):
        rates.set_next()
        expected = theirs.param_groups[0]["lr"]
        assert ours.param_groups[0]["lr"] == pytest.approx(expected, abs=2e-5)
        theirs.step()
        scheduler.step()


def test_all_players_keep_their_ratio_and_get_their_rate_back():
    """Check two optimizers in the middle of a fit and after it."""
    fast, slow = optimizer(0.3), optimizer(0.1)
    rates = ScheduledRates(lambda progress: 1 - progress, [fast, slow], 4)
    seen = []
    for _ in range(4):
        rates.set_next()
        seen.append([opt.param_groups[0]["lr"] for opt in (fast, slow)])
    expected = [[0.3, 0.1], [0.225, 0.075], [0.15, 0.05], [0.075, 0.025]]
    assert seen == [pytest.approx(pair) for pair in expected]
    rates.restore()
    assert [opt.param_groups[0]["lr"] for opt in (fast, slow)] == [0.3, 0.1]
