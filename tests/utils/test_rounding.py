# SPDX-License-Identifier: BSD-3-Clause
"""Tests of rounding without the noise of floats."""

from fractions import Fraction
from math import ceil

import pytest

from confident_clf.utils._rounding import ceil_up_to_noise


@pytest.mark.parametrize("percent", range(1, 101))
def test_percent_of_counts(percent):
    """Check that shares of counts are rounded up as fractions are."""
    for n in [*range(1, 300), 10**4, 10**7 + 1]:
        expected = ceil(Fraction(percent, 100) * n)
        assert ceil_up_to_noise(percent / 100 * n) == expected
        assert ceil_up_to_noise((1 - (100 - percent) / 100) * n) == expected
