# SPDX-License-Identifier: BSD-3-Clause
"""Rounding to whole numbers that ignores the rounding errors of floats."""

import math


def ceil_up_to_noise(x: float) -> int:
    """Return the smallest integer that is not below `x`, up to rounding errors.

    ``0.07 * 100`` is 7.000000000000001: this gives 7, where ``math.ceil`` gives 8.
    """
    return math.ceil(x * (1 - 1e-12))
