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


def check_numbers(name, values):
    """Return `values` as an array of float64, or raise ValueError.

    Parameters
    ----------
    name : str
        What the caller calls them.
    values : array-like
        Numbers, of any shape.

    Returns
    -------
    ndarray of float64
        The values; not a copy where none is needed.
    """
    try:
        array = np.asarray(values)
        kind = f"dtype {array.dtype}"
        if array.dtype.kind in "biufO":
            with np.errstate(over="ignore"):  # what becomes infinite is refused
                return array.astype(np.float64, copy=False)
    except (OverflowError, TypeError, ValueError) as error:
        kind = f"{type(values).__name__} ({error})"
    raise ValueError(
        f"{name} must be an array of real numbers; got {kind}. Pass confidences as "
        "floats, such as those of score_samples."
    )


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
    y_true = check_labels(y_true, n_scores, name)
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


def check_labels(y_true, n_scores, name="y_true"):
    """Return `y_true` as an array, or raise ValueError.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Of any kind.
    n_scores : int
        How many scores there are.
    name : str, default="y_true"
        What the caller calls them.

    Returns
    -------
    ndarray of shape (n_samples,)
        The labels.
    """
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
