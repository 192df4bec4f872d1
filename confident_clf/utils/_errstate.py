# SPDX-License-Identifier: BSD-3-Clause
"""Compute with NumPy's usual floating-point errors, whatever the user has set."""

from collections.abc import Callable
from functools import wraps

import numpy as np

# NumPy's defaults. Underflow is normal: probabilities far from the data are tiny.
USUAL = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def usual_errors(function: Callable) -> Callable:
    """Decorate a public function so that ``np.seterr`` does not change what it does."""

    @wraps(function)
    def with_usual_errors(*args, **kwargs):
        with np.errstate(**USUAL):
            return function(*args, **kwargs)

    return with_usual_errors
