# SPDX-License-Identifier: BSD-3-Clause
"""Check values of beta, find the parameter, score the values, choose the best."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar

from confident_clf.utils._arrays import split_rows
from confident_clf.utils._params import params_named, params_of_rows
from confident_clf.utils._types import SamplesLike

# An estimator whose beta is searched also has these parameters.
_OTHERS = ("max_epochs", "warm_start")


def check_betas(betas: ArrayLike) -> np.ndarray:
    """Return the different values of beta, ascending.

    Raise ValueError unless they are a list of finite numbers above 0.
    """
    try:
        values = np.asarray(betas, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([])
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"betas must be a list of at least one number; got {betas!r}. For example, "
            "pass betas=[0.03, 0.1, 0.3]."
        )
    if not (np.isfinite(values).all() and values.min() > 0):
        raise ValueError(
            f"betas must be finite and above 0; got {betas!r}. beta=0 is plain cross "
            "entropy; use ood_source=None for it."
        )
    return np.unique(values)


def prefix_of_beta(estimator: BaseEstimator) -> str:
    """Return the part before `beta` in the name of the parameter to search.

    This is ``"step__"`` for a pipeline and empty for the estimator's own parameter.
    Raise TypeError unless exactly one estimator, alone or inside, has the parameters
    `beta`, `max_epochs` and `warm_start`; TypeError or ValueError for bad values.
    """
    params = estimator.get_params()
    prefixes = [name.removesuffix("beta") for name in params_named(estimator, "beta")]
    prefixes = [
        prefix
        for prefix in prefixes
        if all(prefix + other in params for other in _OTHERS)
    ]
    if len(prefixes) != 1:
        raise TypeError(
            "ConfidentClassifierCV searches the one estimator with parameters beta, "
            f"{' and '.join(_OTHERS)}; {type(estimator).__name__} has {len(prefixes)} "
            "of them. Pass a ConfidentClassifier, or a pipeline with one."
        )
    beta, max_epochs = f"{prefixes[0]}beta", f"{prefixes[0]}max_epochs"
    if params[beta] != "auto":
        check_scalar(params[beta], beta, Real, min_val=0)
    check_scalar(params[max_epochs], max_epochs, Integral, min_val=1)
    return prefixes[0]


def best_beta(betas: np.ndarray, scores: np.ndarray, own: float) -> int:
    """Return the index of the beta with the highest score.

    Of betas with equal scores, the best has the ratio to `own` nearest to 1. If that is
    equal too, it is the smaller one.
    """
    with np.errstate(divide="ignore"):  # own may be 0, then it is equally far from all
        distance = np.abs(np.log(betas) - np.log(own))
    # Rounded, because 0.05 and 0.2 should be equally far from 0.1.
    return np.lexsort((betas, distance.round(9), -scores))[0]


def score_betas(
    estimator: BaseEstimator,
    prefix: str,
    betas: np.ndarray,
    X: SamplesLike,
    y: np.ndarray,
    params: dict,
    train: np.ndarray,
    test: np.ndarray,
    scorer: Callable,
) -> list[float]:
    """Return the score of each beta on one split; this takes as long as two fits.

    A clone of the estimator is fitted with its own beta. A copy of it then continues
    with each beta. Together, the copies train for as many epochs as the fit, but each
    for at least one. `params` are the parameters of `fit`.
    """
    X_train, y_train = split_rows(estimator, X, y, train)
    X_test, y_test = split_rows(estimator, X, y, test, train)
    params = params_of_rows(X, params, train, y_train)
    n_epochs = max(1, estimator.get_params()[f"{prefix}max_epochs"] // len(betas))
    going_on = {f"{prefix}warm_start": True, f"{prefix}max_epochs": n_epochs}
    scores = []
    with warnings.catch_warnings():
        # Nobody uses these fits. The fit on all rows gives its own warnings.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = clone(estimator).fit(X_train, y_train, **params)
        for beta in betas.tolist():
            copy = deepcopy(fitted).set_params(**going_on, **{f"{prefix}beta": beta})
            copy.fit(X_train, y_train, **params)
            scores.append(scorer(copy, X_test, y_test))
    return scores
