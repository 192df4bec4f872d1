# SPDX-License-Identifier: BSD-3-Clause
"""Some of the rows, and what belongs to them."""

import numpy as np

from confident_clf.utils._sklearn import _check_method_params


def is_known(estimator, y, n):
    """Return which of n rows are not labelled as something else than a class.

    Parameters
    ----------
    estimator : estimator
        Fitted; all labels are known to one without ``classes_``.
    y : array-like of shape (n,) or None
        Labels; without them, all rows are known.
    n : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n,), bool
        True where the label is a class.
    """
    if y is None or not hasattr(estimator, "classes_"):
        return np.ones(n, dtype=bool)
    return np.isin(np.ravel(y), estimator.classes_)


def params_of_rows(X, params, rows):
    """Return the parameters of `fit` for some rows of X.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        All rows.
    params : dict
        Parameters of `fit`; those with n values are one per row, but for `X_ood`,
        whose samples are others even if they are as many.
    rows : ndarray of int
        Which rows.

    Returns
    -------
    dict
        The parameters.
    """
    whole = {name: value for name, value in params.items() if name.endswith("X_ood")}
    return _check_method_params(X, params, indices=rows) | whole
