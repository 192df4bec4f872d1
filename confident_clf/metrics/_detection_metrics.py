# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of a confidence that separates in- and out-of-distribution samples."""

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.metrics._counts import (
    area_under_roc,
    average_precision,
    best_accuracy,
    count,
    count_swapped,
    true_negatives,
)
from confident_clf.metrics._metric_input import (
    check_both_kinds,
    check_kinds,
    check_scores,
    check_share,
)


def auroc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Area under the ROC curve, with ID as the positive kind.

    This is the probability that an ID sample scores higher than an OOD sample, where a
    tie counts half. It is the same with OOD as the positive kind and negated scores.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.

    Returns
    -------
    float
        Between 0 and 1, greater is better, 0.5 by chance.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, or a score is not finite.

    Examples
    --------
    >>> from confident_clf.metrics import auroc
    >>> auroc([1, 1, 0, 0], [0.9, 0.6, 0.6, 0.1])
    0.875
    """
    return float(area_under_roc(*_sorted_kinds(y_true, y_score)))


def aupr_in(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Area under the precision-recall curve, with ID as the positive kind.

    This is the average precision, sum_n (R_n - R_{n-1}) P_n, as in
    :func:`sklearn.metrics.average_precision_score`. By chance it is the share of ID
    samples. So it can only be compared at the same share; report it together with the
    numbers of samples.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.

    Returns
    -------
    float
        Between 0 and 1, greater is better.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, or a score is not finite.

    Examples
    --------
    >>> from confident_clf.metrics import aupr_in
    >>> aupr_in([1, 0, 1, 0], [0.9, 0.6, 0.5, 0.1]) == (1 + 2 / 3) / 2
    True
    """
    return float(average_precision(count(*_sorted_kinds(y_true, y_score))))


def aupr_out(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Area under the precision-recall curve, with OOD as the positive kind.

    This is the average precision of the negated scores, see :func:`aupr_in`. By chance
    it is the share of OOD samples.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.

    Returns
    -------
    float
        Between 0 and 1, greater is better.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, or a score is not finite.

    Examples
    --------
    >>> from confident_clf.metrics import aupr_out
    >>> aupr_out([1, 0, 1, 0], [0.9, 0.6, 0.5, 0.1]) == (1 + 2 / 3) / 2
    True
    """
    ood_positive = count_swapped(*_sorted_kinds(y_true, y_score))
    return float(average_precision(ood_positive))


def tnr_at_tpr(y_true: ArrayLike, y_score: ArrayLike, *, tpr: float = 0.95) -> float:
    """Share of OOD samples rejected where at least `tpr` of ID samples are accepted.

    The threshold is the highest score that accepts (score >= threshold) this share of
    ID samples. At 95 % this is the metric of [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.
    tpr : float, default=0.95
        True positive rate, the share of ID samples to accept, in (0, 1].

    Returns
    -------
    float
        True negative rate, between 0 and 1, greater is better.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, a score is not finite, or `tpr` is out of
        range.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 3.

    Examples
    --------
    >>> from confident_clf.metrics import tnr_at_tpr
    >>> tnr_at_tpr([1, 1, 0, 0], [0.9, 0.5, 0.7, 0.1])
    0.5
    >>> tnr_at_tpr([1, 1, 0, 0], [0.9, 0.5, 0.7, 0.1], tpr=0.5)
    1.0
    """
    check_share("tpr", tpr)
    counts = count(*_sorted_kinds(y_true, y_score))
    return float(true_negatives(counts, tpr) / counts.n_negative)


def fpr_at_tpr(
    y_true: ArrayLike, y_score: ArrayLike, *, tpr: float = 0.95, positive: str = "in"
) -> float:
    """False positive rate at a true positive rate, for either kind as the positive one.

    "FPR95" means two things in the literature, and the numbers cannot be compared:

    * ``positive="in"``: the share of OOD samples accepted where 95 % of ID samples are
      accepted, 1 minus :func:`tnr_at_tpr`. Used in [1]_ and ODIN.
    * ``positive="out"``: the share of ID samples rejected where 95 % of OOD samples are
      rejected. Used in Outlier Exposure [2]_, OpenOOD and pytorch-ood.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.
    tpr : float, default=0.95
        True positive rate, in (0, 1].
    positive : {"in", "out"}, default="in"
        The positive kind.

    Returns
    -------
    float
        Between 0 and 1, smaller is better.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, a score is not finite, `tpr` is out of
        range, or `positive` is neither "in" nor "out".

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 3.
    .. [2] Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> from confident_clf.metrics import fpr_at_tpr
    >>> y_true, y_score = [1, 1, 1, 1, 0, 0], [0.9, 0.8, 0.4, 0.3, 0.5, 0.1]
    >>> fpr_at_tpr(y_true, y_score)
    0.5
    >>> fpr_at_tpr(y_true, y_score, positive="out")
    0.5
    >>> fpr_at_tpr(y_true, y_score, tpr=0.5), fpr_at_tpr(
    ...     y_true, y_score, tpr=0.5, positive="out"
    ... )
    (0.0, 0.0)
    """
    check_share("tpr", tpr)
    if positive not in ("in", "out"):
        raise ValueError(
            f"positive={positive!r} is not a kind. Use 'in' (in-distribution) or 'out'."
        )
    count_kind = count if positive == "in" else count_swapped
    counts = count_kind(*_sorted_kinds(y_true, y_score))
    fp = counts.n_negative - true_negatives(counts, tpr)
    return float(fp / counts.n_negative)


def detection_accuracy(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Accuracy of the best threshold, for equal numbers of ID and OOD samples.

    This is the largest mean of true positive rate and true negative rate over all
    thresholds. It is the detection accuracy of [1]_, which assumes that both kinds are
    equally likely.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 for ID, 0 for OOD.
    y_score : array-like of shape (n_samples,)
        Confidence, higher for ID.

    Returns
    -------
    float
        Between 0.5 and 1, greater is better.

    Raises
    ------
    ValueError
        If the samples are not of both kinds, or a score is not finite.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 3.

    Examples
    --------
    >>> from confident_clf.metrics import detection_accuracy
    >>> detection_accuracy([1, 1, 0, 0], [0.9, 0.5, 0.7, 0.1])
    0.75
    """
    return float(best_accuracy(count(*_sorted_kinds(y_true, y_score))))


def _sorted_kinds(
    y_true: ArrayLike, y_score: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of ID and of OOD samples, each in ascending order."""
    y_score = check_scores("y_score", y_score)
    is_id = check_kinds(y_true, len(y_score))
    check_both_kinds(is_id)
    return np.sort(y_score[is_id]), np.sort(y_score[~is_id])
