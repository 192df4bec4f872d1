# SPDX-License-Identifier: BSD-3-Clause
"""Whole numbers out of shares, without the noise of floats."""

import math


def ceil_up_to_noise(x):
    """Return the smallest integer that is not below `x`, but for rounding errors.

    Parameters
    ----------
    x : float
        Result of a short calculation, such as ``0.07 * 100``: 7.000000000000001.

    Returns
    -------
    int
        The integer; 7 in the example, where ``math.ceil`` gives 8.
    """
    return math.ceil(x * (1 - 1e-12))
