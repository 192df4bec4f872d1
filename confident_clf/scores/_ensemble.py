# SPDX-License-Identifier: BSD-3-Clause
"""Scores of several classifiers together."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr


def mutual_information(probabilities: ArrayLike) -> np.ndarray:
    """Score by how much the members of an ensemble disagree, in nats.

    Introduced in [1]_, used for ensembles of networks in [2]_. With the probabilities
    p_m of the M members and their mean p, the score is::

        H(p) - 1/M * sum_m H(p_m),    H(p) = -sum_k p_k log p_k.

    It is 0 if all members predict the same probabilities, even uncertain ones.

    Parameters
    ----------
    probabilities : array-like of shape (n_members, n_samples, n_classes)
        The ``predict_proba`` of each member.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and log n_members, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `probabilities` is not three-dimensional.

    See Also
    --------
    sklearn.ensemble.VotingClassifier : With ``voting="soft"`` the mean prediction.

    References
    ----------
    .. [1] Houlsby, Huszar, Ghahramani and Lengyel, "Bayesian Active Learning for
       Classification and Preference Learning", 2011, eq. (2).
    .. [2] Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive
       Uncertainty Estimation using Deep Ensembles", NeurIPS 2017.

    Examples
    --------
    >>> from confident_clf.scores import mutual_information
    >>> unsure, disagreeing = [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    >>> members = list(zip(unsure, disagreeing))
    >>> mutual_information(members).round(3).tolist()
    [0.0, 0.693]
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 3:
        raise ValueError(
            "probabilities must have shape (n_members, n_samples, n_classes); got "
            f"{probabilities.shape}. Stack the members' predict_proba."
        )
    of_mean = entr(probabilities.mean(axis=0)).sum(axis=-1)
    mean = entr(probabilities).sum(axis=-1).mean(axis=0)
    return np.maximum(of_mean - mean, 0.0)  # rounding may make it negative
