# SPDX-License-Identifier: BSD-3-Clause
"""Out-of-distribution samples made from others, feature by feature."""

import numpy as np
from scipy.sparse import issparse


def _gaussian(values, rng):
    """Return normal values with the mean and standard deviation of each feature."""
    return rng.normal(values.mean(axis=0), values.std(axis=0), values.shape)


def _uniform(values, rng):
    """Return uniform values between the extremes of each feature."""
    return rng.uniform(values.min(axis=0), values.max(axis=0), values.shape)


def _permuted(values, rng):
    """Return the values of each feature in another order of the samples."""
    return rng.permuted(values, axis=0)


SYNTHETIC = {"gaussian": _gaussian, "permuted": _permuted, "uniform": _uniform}


def synthetic_ood(X, kind):
    """Return as many out-of-distribution samples as there are samples.

    Each feature, each pixel of images too, is drawn independently of the others, always
    with the same random numbers. Integers stay integers, booleans booleans.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        In-distribution samples; a data frame gives a data frame.
    kind : {"gaussian", "permuted", "uniform"}
        What each feature keeps: mean and standard deviation, its values, or its range.

    Returns
    -------
    ndarray or data frame of shape (n, ...)
        The samples.

    Raises
    ------
    ValueError
        If X is sparse, or holds what is no number and `kind` is not "permuted".
    """
    if issparse(X):
        raise ValueError(
            f"X_ood={kind!r} cannot be made from sparse X. Pass X_ood as an array."
        )
    rng = np.random.default_rng(0)
    if not hasattr(X, "iloc"):
        return _draw(np.asarray(X), kind, rng)
    frame = X.copy()
    for i in range(X.shape[1]):
        frame.isetitem(i, _draw_column(X.iloc[:, i], kind, rng))
    return frame


def _draw_column(column, kind, rng):
    """Return a column of a data frame; categories stay categories where permuted."""
    if kind == "permuted":
        return column.array.take(rng.permutation(len(column)))
    return _draw(column.to_numpy(), kind, rng)


def _draw(values, kind, rng):
    """Return samples with independent features, of the type of the values."""
    if kind != "permuted" and values.dtype.kind not in "biuf":
        raise ValueError(
            f"X_ood={kind!r} needs features that are numbers; got dtype "
            f"{values.dtype}. Use X_ood='permuted', or pass X_ood as an array."
        )
    drawn = SYNTHETIC[kind](values, rng)
    if values.dtype.kind == "b":
        return drawn >= 0.5
    if values.dtype.kind in "iu" and kind != "permuted":
        limits = np.iinfo(values.dtype)
        drawn = np.clip(np.rint(drawn), limits.min, limits.max)
    return drawn.astype(values.dtype, copy=False)
