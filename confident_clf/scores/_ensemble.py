# SPDX-License-Identifier: BSD-3-Clause
"""Scores of several classifiers together."""

import numpy as np
from scipy.special import entr


def mutual_information(probabilities):
    """Score by how much the members of an ensemble disagree, in nats.

    Due to [1]_, [2]_.

    It is the entropy of the mean prediction minus the mean entropy of the predictions:
    0 where all members say the same, however unsure of it.

    Parameters
    ----------
    probabilities : array-like of shape (n_members, n_samples, n_classes)
        What each member's ``predict_proba`` returns.

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
            f"{probabilities.shape}. Stack what the members' predict_proba return."
        )
    of_mean = entr(probabilities.mean(axis=0)).sum(axis=-1)
    mean = entr(probabilities).sum(axis=-1).mean(axis=0)
    return np.maximum(of_mean - mean, 0.0)  # rounding may take it below
