# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the conformal threshold."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from confident_clf._detection._conformal import (
    check_enough,
    conformal_rank,
    conformal_threshold,
    lower,
    n_calibration_needed,
)

PERCENTS = [1, 5, 7, 30, 50, 57, 70, 90, 95, 99]


@pytest.mark.parametrize("percent", PERCENTS)
def test_rank_in_fractions(percent):
    """Check that the rank is floor((n + 1) * (1 - target)), without noise of floats."""
    for n in range(500):
        expected = floor((n + 1) * (1 - Fraction(percent, 100)))
        assert conformal_rank(n, percent / 100) == expected
        assert conformal_rank(n, 1 - (100 - percent) / 100) == expected


@pytest.mark.parametrize("percent", PERCENTS)
def test_scores_needed(percent):
    """Check that the number of scores needed is the least with a threshold."""
    needed = n_calibration_needed(percent / 100)
    assert conformal_rank(needed, percent / 100) >= 1
    assert needed == 0 or conformal_rank(needed - 1, percent / 100) < 1


@pytest.mark.parametrize("percent", PERCENTS)
@pytest.mark.parametrize("share", [0.1, 0.2, 1])
def test_rows_asked_for_are_enough(share, percent):
    """Check that the number of rows in the error is the least that raises none."""
    needed = n_calibration_needed(percent / 100)
    rows = -(-needed * 10 // round(share * 10))  # rounded up, in integers
    check_enough(needed, percent / 100, share)
    if needed:
        with pytest.raises(ValueError, match=rf"least {needed} .* least {rows} in-d"):
            check_enough(needed - 1, percent / 100, share)


def test_lower():
    """Check that scores are lowered by little, whatever their sign and size."""
    scores = np.array([-np.inf, -1e9, -1e-30, 0.0, 1e-30, 1e9, np.inf])
    lowered = lower(scores)
    assert (lowered[[1, 2, 4, 5]] < scores[[1, 2, 4, 5]]).all()
    np.testing.assert_allclose(lowered, scores, rtol=1e-8)


@pytest.mark.parametrize("n", [19, 20, 39, 100])
def test_threshold_is_of_that_rank(n):
    """Check that the threshold is the score of that rank, in any order."""
    scores = np.random.default_rng(0).permutation(n)
    scores.flags.writeable = False
    assert conformal_threshold(scores, 0.95) == conformal_rank(n, 0.95) - 1
