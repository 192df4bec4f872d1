# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of detection as functions of sorted scores.

Every threshold worth trying is the score of a positive sample. So both kinds are sorted
once and, at the score of every positive sample, it is counted how many of each kind are
accepted; every metric is a short function of these counts. With in-distribution as the
positive kind these are the metrics of the paper, with out-of-distribution as the
positive kind and the scores negated its "AUPR out" and the "FPR95" of others.
"""

from typing import NamedTuple

import numpy as np

from confident_clf.utils._rounding import ceil_up_to_noise


class Counts(NamedTuple):
    """What is accepted at the score of each positive sample, in ascending order.

    Attributes
    ----------
    tp : ndarray of shape (n_positive,)
        Positive samples that score at least as high.
    tn : ndarray of shape (n_positive,)
        Negative samples that score lower.
    n_negative : int
        Number of negative samples.
    """

    tp: np.ndarray
    tn: np.ndarray
    n_negative: int


def count(positive, negative):
    """Count what is accepted at the score of each positive sample.

    Parameters
    ----------
    positive : ndarray of shape (n_positive,)
        Scores in ascending order.
    negative : ndarray of shape (n_negative,)
        Scores in ascending order. Searching them in order takes less time than sorting
        them did: each search begins where the last one ended.

    Returns
    -------
    Counts
        The counts.
    """
    tn = np.searchsorted(negative, positive, side="left")
    return Counts(len(positive) - _first_of_equals(positive), tn, len(negative))


def count_swapped(positive, negative):
    """Count with the negative kind as the positive one, and the scores negated.

    Parameters
    ----------
    positive : ndarray of shape (n_positive,)
        Scores in ascending order.
    negative : ndarray of shape (n_negative,)
        Scores in ascending order.

    Returns
    -------
    Counts
        What :func:`count` returns for ``-negative[::-1]`` and ``-positive[::-1]``.
    """
    not_above = np.searchsorted(positive, negative, side="right")[::-1]
    # Counted from above, the first of equal scores is the last.
    tp = len(negative) - _first_of_equals(negative[::-1])
    return Counts(tp, len(positive) - not_above, len(positive))


def _first_of_equals(scores):
    """Return for each of some sorted scores the index of the first one equal to it."""
    index = np.arange(len(scores))
    index[1:][scores[1:] == scores[:-1]] = 0
    return np.maximum.accumulate(index, out=index)


def area_under_roc(positive, negative, below=None):
    """Return the probability that a positive outranks a negative, ties half.

    Parameters
    ----------
    positive : ndarray of shape (n_positive,)
        Scores in ascending order.
    negative : ndarray of shape (n_negative,)
        Scores in ascending order.
    below : ndarray of shape (n_positive,) or None, default=None
        Number of negatives below each positive, if known: `tn` of :func:`count`.

    Returns
    -------
    float
        Area under the ROC curve.
    """
    if below is None:
        below = np.searchsorted(negative, positive, side="left")
    next_negative = negative[np.minimum(below, len(negative) - 1)]
    tied = next_negative == positive  # few, as a rule
    not_above = np.searchsorted(negative, positive[tied], side="right")
    # Integers, so exact: the sums stay below 2**63 up to 2e9 samples of each kind.
    twice = 2 * below.sum() + (not_above - below[tied]).sum()
    return twice / (2 * len(positive) * len(negative))


def average_precision(counts):
    """Return the mean over positives of the precision at their own score.

    Parameters
    ----------
    counts : Counts
        The counts.

    Returns
    -------
    float
        Area under the precision-recall curve, step-wise.
    """
    fp = counts.n_negative - counts.tn
    return np.mean(counts.tp / (counts.tp + fp))


def true_negatives(counts, tpr):
    """Return how many negatives the highest threshold that reaches `tpr` rejects.

    Parameters
    ----------
    counts : Counts
        The counts.
    tpr : float
        True positive rate, in (0, 1].

    Returns
    -------
    int
        Number of negatives.
    """
    n_accepted = ceil_up_to_noise(tpr * len(counts.tp))
    return counts.tn[-n_accepted]


def best_accuracy(counts):
    """Return the largest mean of true positive rate and true negative rate.

    Parameters
    ----------
    counts : Counts
        The counts.

    Returns
    -------
    float
        Accuracy for as many positives as negatives.
    """
    tpr, tnr = counts.tp / len(counts.tp), counts.tn / counts.n_negative
    return np.max(tpr + tnr) / 2
