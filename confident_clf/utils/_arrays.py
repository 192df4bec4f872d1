# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of other libraries, and arrays on the disk."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.utils._lazy import LazyRows
from confident_clf.utils._sklearn import (
    _convert_to_numpy,
    _safe_indexing,
    _safe_split,
    get_namespace_and_device,
)
from confident_clf.utils._types import SamplesLike


def to_numpy(array: Any, dtype=None) -> np.ndarray:
    """Return an array of any library as a NumPy array on the CPU."""
    xp, _, _ = get_namespace_and_device(array)
    return np.asarray(_convert_to_numpy(array, xp), dtype=dtype)


def like(values: np.ndarray, X: SamplesLike) -> ArrayLike:
    """Return values in the library of X, and on its device, if dispatch is enabled.

    With ``array_api_dispatch`` scikit-learn refuses to predict on arrays of another
    library than those of fit.
    """
    xp, is_array_api, device = get_namespace_and_device(X)
    return xp.asarray(values, device=device) if is_array_api else values


def rows_of(X: SamplesLike, rows: np.ndarray):
    """Return some rows of X, as scikit-learn's `_safe_indexing` does."""
    return X[rows] if isinstance(X, LazyRows) else _safe_indexing(X, rows)


def split_rows(estimator, X: SamplesLike, y: ArrayLike | None, rows, train=None):
    """Return some rows of X and y, as scikit-learn's `_safe_split` does.

    h5py reads rows in ascending order only, so arrays on the disk are read like that
    and brought into the order asked for in memory.
    """
    if isinstance(X, LazyRows):
        return X[rows], None if y is None else _safe_indexing(y, rows)
    if not hasattr(X, "chunks") and not hasattr(y, "chunks"):
        return _safe_split(estimator, X, y, rows, train)
    ascending, places = np.unique(rows, return_inverse=True)
    X, y = _safe_split(estimator, X, y, ascending, train)
    return _safe_indexing(X, places), None if y is None else _safe_indexing(y, places)
