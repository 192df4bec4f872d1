# SPDX-License-Identifier: BSD-3-Clause
"""Values of beta: check them, find the parameter, score them, choose the best."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar

from confident_clf.utils._params import params_named, params_of_rows
from confident_clf.utils._sklearn import _safe_split

# Parameters that an estimator must have next to its beta.
_OTHERS = ("max_epochs", "warm_start")


def check_betas(betas: ArrayLike) -> np.ndarray:
    """Return the different values of beta, ascending, as float64.

    Raises ValueError unless they are finite and above 0.
    """
    try:
        values = np.asarray(betas, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([])
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"betas must be a list of at least one number; got {betas!r}. Pass for "
            "example betas=[0.03, 0.1, 0.3]."
        )
    if not (np.isfinite(values).all() and values.min() > 0):
        raise ValueError(
            f"betas must be finite and above 0; got {betas!r}. beta=0 is plain "
            "cross entropy, which is ood_source=None."
        )
    return np.unique(values)


def prefix_of_beta(estimator: BaseEstimator) -> str:
    """Return the prefix of `beta` in the names of parameters, such as ``"step__"``.

    One estimator, this one or one inside it, must have the parameters `beta`,
    `max_epochs` and `warm_start`. Raises TypeError if none or several have them, and
    TypeError or ValueError if `beta` or `max_epochs` is not a valid number.
    """
    params = estimator.get_params()
    prefixes = [name.removesuffix("beta") for name in params_named(estimator, "beta")]
    prefixes = [p for p in prefixes if all(p + other in params for other in _OTHERS)]
    if len(prefixes) != 1:
        raise TypeError(
            "ConfidentClassifierCV searches the one estimator with parameters beta, "
            f"{' and '.join(_OTHERS)}; {type(estimator).__name__} has {len(prefixes)} "
            "of them. Pass a ConfidentClassifier, or a pipeline with one."
        )
    (prefix,) = prefixes
    check_scalar(params[f"{prefix}beta"], f"{prefix}beta", Real, min_val=0)
    name = f"{prefix}max_epochs"
    check_scalar(params[name], name, Integral, min_val=1)
    return prefix


def best_beta(betas: np.ndarray, scores: np.ndarray, own: float) -> int:
    """Return the index of the beta with the highest score.

    Of betas with equal scores, the one nearest in ratio to `own` is best, then the
    smaller one.
    """
    with np.errstate(divide="ignore"):  # 0 is equally far from all
        distance = np.abs(np.log(betas) - np.log(own))
    # Rounded: 0.05 and 0.2 are equally far from 0.1, except for their last bits.
    return np.lexsort((betas, distance.round(9), -scores))[0]


def score_betas(
    estimator: BaseEstimator,
    prefix: str,
    betas: np.ndarray,
    X: ArrayLike,
    y: np.ndarray,
    params: dict,
    train: np.ndarray,
    test: np.ndarray,
    scorer: Callable,
) -> list[float]:
    """Return the scores of all betas on one split, in the time of about two fits.

    A clone of the estimator is fitted as it is. For each beta a copy of it then
    continues with that beta. All copies together take as many epochs as the fit, or one
    epoch each. `params` are those of `fit`, `train` and `test` are row indices.
    """
    X_train, y_train = _safe_split(estimator, X, y, train)
    X_test, y_test = _safe_split(estimator, X, y, test, train)
    params = params_of_rows(X, params, train)
    n_epochs = max(1, estimator.get_params()[f"{prefix}max_epochs"] // len(betas))
    continuing = {f"{prefix}warm_start": True, f"{prefix}max_epochs": n_epochs}
    scores = []
    with warnings.catch_warnings():
        # Nobody will use these fits. The one on all rows warns for itself.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = clone(estimator).fit(X_train, y_train, **params)
        for beta in betas.tolist():
            copy = deepcopy(fitted).set_params(**continuing, **{f"{prefix}beta": beta})
            copy.fit(X_train, y_train, **params)
            scores.append(scorer(copy, X_test, y_test))
    return scores
