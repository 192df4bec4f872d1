# SPDX-License-Identifier: BSD-3-Clause
"""Values of beta: which there may be, whose they are, how they score, the best."""

import warnings
from copy import deepcopy
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar

from confident_clf.utils._rows import params_of_rows
from confident_clf.utils._sklearn import _safe_split

# What an estimator whose beta is searched has beside it.
_OTHERS = ("max_epochs", "warm_start")


def check_betas(betas):
    """Return the different values of beta, ascending, or raise ValueError.

    Parameters
    ----------
    betas : array-like of shape (n_betas,)
        Finite and above 0.

    Returns
    -------
    ndarray of shape (n_different,), float64
        The values.
    """
    try:
        values = np.asarray(betas, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([])
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"betas must be a list of one number or more; got {betas!r}. Pass such as "
            "betas=[0.03, 0.1, 0.3]."
        )
    if not (np.isfinite(values).all() and values.min() > 0):
        raise ValueError(
            f"betas must be finite and above 0; got {betas!r}. beta=0 comes to plain "
            "cross entropy, which is ood_source=None."
        )
    return np.unique(values)


def place_of_beta(estimator):
    """Return what stands before `beta` in the names of parameters.

    Parameters
    ----------
    estimator : estimator
        Of itself and the estimators inside, one has the parameters `beta`, `max_epochs`
        and `warm_start`.

    Returns
    -------
    str
        Such as ``"step__"``; empty for the estimator's own.

    Raises
    ------
    TypeError
        If none has, or several have; if `beta` or `max_epochs` is no number.
    ValueError
        If `beta` is below 0, or `max_epochs` below 1.
    """
    params = estimator.get_params()
    places = [
        name.removesuffix("beta")
        for name in params
        if name.split("__")[-1] == "beta"
        and all(name.removesuffix("beta") + other in params for other in _OTHERS)
    ]
    if len(places) != 1:
        raise TypeError(
            "ConfidentClassifierCV searches the one estimator with parameters beta, "
            f"{' and '.join(_OTHERS)}; {type(estimator).__name__} has {len(places)} of "
            "them. Pass a ConfidentClassifier, or a pipeline with one."
        )
    beta, max_epochs = f"{places[0]}beta", f"{places[0]}max_epochs"
    check_scalar(params[beta], beta, Real, min_val=0)
    check_scalar(params[max_epochs], max_epochs, Integral, min_val=1)
    return places[0]


def best_beta(betas, scores, own):
    """Return the place of the beta with the highest score.

    Parameters
    ----------
    betas : ndarray of shape (n_betas,)
        The values.
    scores : ndarray of shape (n_betas,)
        Greater is better.
    own : float
        Of betas with equal scores that nearest to this in ratio is best, then the
        smaller one.

    Returns
    -------
    int
        Index of the best.
    """
    with np.errstate(divide="ignore"):  # own may be 0, equally far from all
        distance = np.abs(np.log(betas) - np.log(own))
    # Rounded, as 0.05 and 0.2 are as far from 0.1, but for their last bits.
    return np.lexsort((betas, distance.round(9), -scores))[0]


def score_betas(estimator, place, betas, X, y, params, train, test, scorer):
    """Return the scores of all betas on a split, for the price of two fits.

    The estimator is fitted as it is. For each beta a copy then goes on with that beta;
    all copies together for as many epochs as the fit had, or one epoch each.

    Parameters
    ----------
    estimator : estimator
        To be fitted; it is cloned.
    place : str
        Of its parameter `beta`, as `place_of_beta` returns it.
    betas : ndarray of shape (n_betas,)
        The values.
    X : array-like of shape (n, ...)
        Samples.
    y : ndarray of shape (n,)
        Labels.
    params : dict
        Parameters of `fit`.
    train : ndarray of int
        Rows to fit on.
    test : ndarray of int
        Rows to score.
    scorer : callable
        ``scorer(estimator, X, y)``.

    Returns
    -------
    list of float
        A score for each beta.
    """
    X_train, y_train = _safe_split(estimator, X, y, train)
    X_test, y_test = _safe_split(estimator, X, y, test, train)
    params = params_of_rows(X, params, train)
    n_epochs = max(1, estimator.get_params()[f"{place}max_epochs"] // len(betas))
    going_on = {f"{place}warm_start": True, f"{place}max_epochs": n_epochs}
    scores = []
    with warnings.catch_warnings():
        # Nobody will use these fits; that on all rows warns for itself.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = clone(estimator).fit(X_train, y_train, **params)
        for beta in betas.tolist():
            copy = deepcopy(fitted).set_params(**going_on, **{f"{place}beta": beta})
            copy.fit(X_train, y_train, **params)
            scores.append(scorer(copy, X_test, y_test))
    return scores
