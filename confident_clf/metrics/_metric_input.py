# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the input of metrics."""

import numpy as np
from numpy.typing import ArrayLike

# What 1 and 0 mean, and how to get them.
_MEANINGS = {
    "y_true": (
        "in-distribution",
        "out-of-distribution",
        "y_true == 1, or np.isin(y_true, classes)",
    ),
    "y_correct": ("right", "wrong", "y_pred == y_true"),
}


def check_numbers(name: str, values: ArrayLike) -> np.ndarray:
    """Return numbers of any shape as float64, without a copy if possible.

    Raise ValueError if they are not real numbers. `name` is the caller's argument.
    """
    try:
        array = np.asarray(values)
        kind = f"dtype {array.dtype}"
        if array.dtype.kind in "biufO":
            with np.errstate(over="ignore"):  # infinite values are refused later
                return array.astype(np.float64, copy=False)
    except (OverflowError, TypeError, ValueError) as error:
        kind = f"{type(values).__name__} ({error})"
    raise ValueError(
        f"{name} must be an array of real numbers; got {kind}. Pass confidences as "
        "floats, for example from score_samples."
    )


def check_scores(name: str, values: ArrayLike) -> np.ndarray:
    """Return scores as a vector of float64, without a copy if possible.

    Raise ValueError unless they are finite numbers, at least one.
    """
    values = check_numbers(name, values)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"{name} must be a vector with at least one score; got shape "
            f"{values.shape}. Pass one confidence per sample."
        )
    finite = np.isfinite(values)
    if not finite.all():
        first = np.argmin(finite)
        raise ValueError(
            f"{name} must be finite; {name}[{first}] is {values[first]}, one of "
            f"{np.sum(~finite)} such values. Replace or drop them."
        )
    return values


def check_kinds(y_true: ArrayLike, n_scores: int, name: str = "y_true") -> np.ndarray:
    """Return 1 and 0 as True and False; raise ValueError if there are other values.

    `name` is the caller's argument, "y_true" or "y_correct".
    """
    y_true = check_one_per_score(y_true, n_scores, name)
    positive = np.asarray(y_true == 1, dtype=bool)
    valid = positive | np.asarray(y_true == 0, dtype=bool)
    if not valid.all():
        first = np.argmin(valid)
        one, zero, remedy = _MEANINGS[name]
        raise ValueError(
            f"{name} must be 1 ({one}) or 0 ({zero}); {name}[{first}] is "
            f"{y_true[first]!r}. Pass {remedy}."
        )
    return positive


def check_one_per_score(
    y_true: ArrayLike, n_scores: int, name: str = "y_true"
) -> np.ndarray:
    """Return labels as a vector; raise ValueError unless there is one per score."""
    try:
        y_true = np.asarray(y_true)
        found = f"shape {y_true.shape}"
        if y_true.shape == (n_scores,):
            return y_true
    except ValueError as error:  # lists of many lengths
        found = f"{type(y_true).__name__} ({error})"
    raise ValueError(
        f"{name} must have one value per score, shape ({n_scores},); got {found}. Pass "
        f"{name} and y_score of the same samples."
    )


def check_share(name: str, share: float) -> None:
    """Raise ValueError unless `share` is in (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(
            f"{name} must be above 0 and at most 1; got {share!r}. Pass 0.95 for 95 %."
        )


def check_both_kinds(is_id: np.ndarray) -> None:
    """Raise ValueError unless there are ID and OOD samples."""
    if is_id.all() or not is_id.any():
        raise ValueError(
            "y_true must hold both 1 (in-distribution) and 0 (out-of-distribution); "
            f"all {len(is_id)} values are {int(is_id[0])}. Add samples of the other "
            "kind."
        )
