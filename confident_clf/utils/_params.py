# SPDX-License-Identifier: BSD-3-Clause
"""Find parameters inside an estimator; take parameters of `fit` for some rows."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from confident_clf.utils._sklearn import _check_method_params, _safe_indexing
from confident_clf.utils._types import SamplesLike

# Samples that are none of the rows of X.
_OTHER_SAMPLES = ("X_ood", "X_val", "y_val")


def params_named(estimator: BaseEstimator, name: str) -> dict:
    """Return the parameters called `name`, also of all estimators inside.

    The keys are full names, such as ``"step__beta"``.
    """
    return {
        full_name: value
        for full_name, value in estimator.get_params().items()
        if full_name.split("__")[-1] == name
    }


def params_of_rows(
    X: SamplesLike, params: dict, rows: np.ndarray, y: ArrayLike | None = None
) -> dict:
    """Return the parameters of `fit` for some rows of X; `y` has the labels of these.

    A parameter with one value per row of X is split like X. `X_ood`, `X_val` and
    `y_val` are not, as their samples are others even if there are as many. But samples
    to validate on are left out if the rows do not have their label.
    """
    whole = {name: v for name, v in params.items() if name.endswith(_OTHER_SAMPLES)}
    params = _check_method_params(X, params, indices=rows) | whole
    for name in [name for name in params if name.endswith("y_val")]:
        X_name = name.removesuffix("y_val") + "X_val"
        if y is not None and params[name] is not None and X_name in params:
            kept = np.flatnonzero(np.isin(np.ravel(params[name]), np.ravel(y)))
            for key in (name, X_name):
                params[key] = _safe_indexing(params[key], kept)
    return params


def is_auto(value: object) -> bool:
    """Return whether a parameter is "auto"."""
    return isinstance(value, str) and value == "auto"


def is_balanced(value: object) -> bool:
    """Return whether a parameter is "balanced"."""
    return isinstance(value, str) and value == "balanced"


def resolve_beta(beta: Any, ood_source: object) -> float:
    """Return the beta that a classifier trains with: "auto" depends on the source."""
    if not is_auto(beta):
        return beta
    return 1.0 if is_auto(ood_source) else 0.1
