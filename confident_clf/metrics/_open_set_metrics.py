# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of classifiers that may refuse a sample: class and confidence together."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.metrics._counts import area_under_roc
from confident_clf.metrics._metric_input import (
    check_both_kinds,
    check_kinds,
    check_scores,
)
from confident_clf.utils._labels import check_same_kind


def oscr(y_true: ArrayLike, y_score: ArrayLike, y_correct: ArrayLike) -> float:
    """Area under the curve of correct classification against false positives.

    Introduced in [1]_. At a threshold, the correct classification rate is the share of
    ID samples that are accepted and classified correctly. The false positive rate is
    the share of OOD samples that are accepted. The area is the probability that an ID
    sample is classified correctly and scores higher than an OOD sample, where a tie
    counts half. So it equals :func:`auroc` if all predictions are right, and never
    exceeds the accuracy.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.
    y_correct : array-like of shape (n_samples,)
        1 where the predicted class is the true one, even if the sample is refused, else
        0. The values of OOD samples do not matter.

    Returns
    -------
    float
        Between 0 and 1, greater is better.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, or a score is not finite.

    See Also
    --------
    aurc : Counts an accepted OOD sample and a wrong class as the same kind of error.

    References
    ----------
    .. [1] Dhamija, Günther and Boult, "Reducing Network Agnostophobia", NeurIPS 2018,
       section 4.

    Examples
    --------
    >>> from confident_clf.metrics import oscr
    >>> oscr([1, 1, 0, 0], [0.9, 0.6, 0.7, 0.1], y_correct=[1, 1, 0, 0])
    0.75
    >>> oscr([1, 1, 0, 0], [0.9, 0.6, 0.7, 0.1], y_correct=[1, 0, 0, 0])
    0.5
    """
    y_score = check_scores("y_score", y_score)
    is_id = check_kinds(y_true, len(y_score))
    right = check_kinds(y_correct, len(y_score), "y_correct") & is_id
    check_both_kinds(is_id)
    if not right.any():
        return 0.0
    accuracy = right.sum() / is_id.sum()
    scores_right, scores_ood = np.sort(y_score[right]), np.sort(y_score[~is_id])
    return float(accuracy * area_under_roc(scores_right, scores_ood))


def aurc(y_correct: ArrayLike, y_score: ArrayLike) -> float:
    """Area under the risk-coverage curve: errors among the most confident samples.

    Introduced in [1]_. It is the mean, over k = 1 to n, of the share of errors among
    the k samples with the highest confidence. Samples with equal confidence may come in
    any order, so the mean is also over these orders.

    Parameters
    ----------
    y_correct : array-like of shape (n_samples,)
        1 where the prediction is right, 0 where it is an error. Accepting an OOD sample
        is an error, so in an open set its value is 0.
    y_score : array-like of shape (n_samples,)
        Confidence.

    Returns
    -------
    float
        Between 0 and 1, smaller is better. By chance it is the share of errors.

    Raises
    ------
    ValueError
        If `y_correct` has values other than 0 and 1, or a score is not finite.

    References
    ----------
    .. [1] Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep
       Neural Classifiers", ICLR 2019.

    Examples
    --------
    >>> from confident_clf.metrics import aurc
    >>> aurc([1, 1, 0, 0], [0.9, 0.8, 0.3, 0.1]) == (0 + 0 + 1 / 3 + 2 / 4) / 4
    True
    """
    return float(np.mean(risk_of_most_confident(y_correct, y_score)))


def risk_of_most_confident(y_correct: ArrayLike, y_score: ArrayLike) -> np.ndarray:
    """Return the share of errors among the k most confident samples, k = 1 to n."""
    y_score = check_scores("y_score", y_score)
    error = ~check_kinds(y_correct, len(y_score), "y_correct")
    _, group = np.unique(-y_score, return_inverse=True)
    n_accepted = np.append(0, np.cumsum(np.bincount(group)))
    n_errors = np.append(0, np.cumsum(np.bincount(group, weights=error)))
    # Within a group of ties the errors among the first k are expected to rise evenly.
    k = np.arange(1, len(error) + 1)
    return np.interp(k, n_accepted, n_errors) / k


def accepted_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, *, unknown_label: Any = -1
) -> float:
    """Accuracy on the samples that get a class.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels. OOD samples may have any label that is not a class. Accepting one of
        them is an error.
    y_pred : array-like of shape (n_samples,)
        Predictions, for example of :class:`~confident_clf.OpenSetClassifier`.
    unknown_label : float or str, default=-1
        The prediction for samples that are not accepted.

    Returns
    -------
    float
        Between 0 and 1, greater is better; nan if no sample is accepted.

    Raises
    ------
    ValueError
        If the shapes differ, or if `unknown_label` is a number and the predictions are
        strings, or the reverse.

    Examples
    --------
    >>> from confident_clf.metrics import accepted_accuracy
    >>> accepted_accuracy([0, 1, 1, -1], [0, 1, -1, 0]) == 2 / 3
    True
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1 or y_true.shape != y_pred.shape:
        raise ValueError(
            "y_true and y_pred must be vectors of the same length; got shapes "
            f"{y_true.shape} and {y_pred.shape}. Pass the labels of the predicted "
            "samples."
        )
    check_same_kind("unknown_label", unknown_label, y_pred)
    is_nan = unknown_label != unknown_label
    accepted = y_pred == y_pred if is_nan else y_pred != unknown_label
    if not accepted.any():
        return np.nan
    return float(np.mean(y_true[accepted] == y_pred[accepted]))
