# SPDX-License-Identifier: BSD-3-Clause
"""Find parameters inside an estimator; take parameters of `fit` for some rows."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from confident_clf.utils._sklearn import _check_method_params


def params_named(estimator: BaseEstimator, name: str) -> dict:
    """Return the parameters called `name`, also of all estimators inside.

    The keys are full names, such as ``"step__beta"``.
    """
    return {
        full_name: value
        for full_name, value in estimator.get_params().items()
        if full_name.split("__")[-1] == name
    }


def params_of_rows(X: ArrayLike, params: dict, rows: np.ndarray) -> dict:
    """Return the parameters of `fit` for some rows of X.

    A parameter with one value per row of X is split like X. `X_ood` is not, as its
    samples are others even if there are as many.
    """
    whole = {name: value for name, value in params.items() if name.endswith("X_ood")}
    return _check_method_params(X, params, indices=rows) | whole


def is_auto(value: object) -> bool:
    """Return whether a parameter is "auto"."""
    return isinstance(value, str) and value == "auto"


def resolve_beta(beta: float | str, ood_source: object) -> float:
    """Return the beta that a classifier trains with: "auto" depends on the source."""
    if not is_auto(beta):
        return beta
    return 1.0 if is_auto(ood_source) else 0.1
