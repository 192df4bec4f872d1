# SPDX-License-Identifier: BSD-3-Clause
"""Make out-of-distribution samples from given samples, feature by feature."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from confident_clf.utils._arrays import like, to_numpy
from confident_clf.utils._types import SamplesLike


def _gaussian(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return normal values with the mean and standard deviation of each feature."""
    return rng.normal(values.mean(axis=0), values.std(axis=0), values.shape)


def _uniform(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return uniform values between the minimum and maximum of each feature."""
    return rng.uniform(values.min(axis=0), values.max(axis=0), values.shape)


def _permuted(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the values of each feature in a random order."""
    return rng.permuted(values, axis=0)


SYNTHETIC = {"gaussian": _gaussian, "permuted": _permuted, "uniform": _uniform}


def synthetic_ood(X: SamplesLike, kind: str) -> ArrayLike:
    """Return as many out-of-distribution samples as X has; a frame gives a frame.

    Each feature, or each pixel of images, is drawn independently of the others, always
    with the same random numbers. "gaussian" keeps its mean and standard deviation,
    "permuted" its values, "uniform" its range. Integers stay integers, booleans
    booleans. Raise ValueError if X is sparse, or if it has values that are not numbers
    and `kind` is not "permuted".
    """
    if issparse(X):
        raise ValueError(
            f"X_ood={kind!r} cannot be made from sparse X. Pass X_ood as an array."
        )
    rng = np.random.default_rng(0)
    if hasattr(X, "iloc"):
        return _draw_pandas(X, kind, rng)
    if hasattr(X, "with_columns"):
        return _draw_polars(X, kind, rng)
    return like(_draw(to_numpy(X), kind, rng), X)


def _draw_pandas(X, kind: str, rng: np.random.Generator):
    """Return a frame of pandas; categories stay categories where permuted."""
    frame = X.copy()
    for i in range(X.shape[1]):
        column = X.iloc[:, i]
        if kind == "permuted":
            drawn = column.array.take(rng.permutation(len(column)))
        else:
            drawn = _draw(column.to_numpy(), kind, rng)
        frame.isetitem(i, drawn)
    return frame


def _draw_polars(X, kind: str, rng: np.random.Generator):
    """Return a frame of polars; every column keeps its type where permuted."""
    columns = []
    for column in X.iter_columns():
        if kind == "permuted":
            columns.append(column.gather(rng.permutation(len(column))))
        else:
            drawn = _draw(column.to_numpy(), kind, rng)
            columns.append(type(column)(column.name, drawn))
    return X.with_columns(columns)


def _draw(values: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return samples with independent features, with the dtype of the values."""
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
