# SPDX-License-Identifier: BSD-3-Clause
"""Checks of what the metrics are given."""

import numpy as np

# What 1 and 0 mean, and how to come by them.
_MEANINGS = {
    "y_true": (
        "in-distribution",
        "out-of-distribution",
        "y_true == 1, or np.isin(y_true, classes)",
    ),
    "y_correct": ("right", "wrong", "y_pred == y_true"),
}


def check_scores(name, values):
    """Return `values` as a float64 vector, or raise ValueError.

    Parameters
    ----------
    name : str
        What the caller calls them.
    values : array-like of shape (n_samples,)
        Finite numbers, at least one.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        The values; not a copy where none is needed.
    """
    values = np.asarray(values, dtype=np.float64)
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


def check_kinds(y_true, n_scores, name="y_true"):
    """Return `y_true` as bool, True for 1, or raise ValueError.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 or True for in-distribution, 0 or False for out-of-distribution.
    n_scores : int
        How many scores there are.
    name : {"y_true", "y_correct"}, default="y_true"
        What the caller calls them; `y_correct` is 1 for right and 0 for wrong.

    Returns
    -------
    ndarray of shape (n_samples,), bool
        The kinds.
    """
    y_true = np.asarray(y_true)
    if y_true.shape != (n_scores,):
        raise ValueError(
            f"{name} must have one value per score, shape ({n_scores},); got shape "
            f"{y_true.shape}. Pass {name} and y_score of the same samples."
        )
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


def check_share(name, share):
    """Raise ValueError unless `share` is in (0, 1].

    Parameters
    ----------
    name : str
        What the caller calls it.
    share : float
        The share.
    """
    if not 0 < share <= 1:
        raise ValueError(
            f"{name} must be above 0 and at most 1; got {share!r}. Pass 0.95 for 95 %."
        )
