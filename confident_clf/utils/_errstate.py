# SPDX-License-Identifier: BSD-3-Clause
"""Compute with NumPy's usual floating-point errors, whatever the user has set."""

from functools import wraps
from typing import Any, cast

import numpy as np

from confident_clf.utils._types import Function

# NumPy's defaults. Underflow is normal: probabilities far from the data are tiny.
USUAL: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}


def usual_errors(function: Function) -> Function:
    """Decorate a public function so that ``np.seterr`` does not change what it does."""

    @wraps(function)
    def with_usual_errors(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(**USUAL):
            return function(*args, **kwargs)

    return cast(Function, with_usual_errors)
