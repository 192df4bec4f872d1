# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of detection as functions of sorted scores.

Every threshold worth trying is the score of a positive sample. So the scores of both
kinds are sorted once. Then we count how many samples of each kind are accepted at the
score of every positive sample. Every metric is a short function of these counts. With
in-distribution as the positive kind, these are the metrics of the paper. With
out-of-distribution as the positive kind and negated scores, they are the paper's "AUPR
out" and the "FPR95" of other papers.
"""

from typing import NamedTuple

import numpy as np

from confident_clf.utils._rounding import ceil_up_to_noise


class Counts(NamedTuple):
    """What is accepted at the score of each positive sample, in ascending order.

    `tp` counts the positive samples that score at least as high, `tn` the negative
    samples that score lower.
    """

    tp: np.ndarray
    tn: np.ndarray
    n_negative: int


def count(positive: np.ndarray, negative: np.ndarray) -> Counts:
    """Count what is accepted at the score of each positive sample.

    Both arrays hold scores in ascending order. Searching sorted values is faster than
    sorting them was, because each search begins where the last one ended.
    """
    tn = np.searchsorted(negative, positive, side="left")
    return Counts(len(positive) - _first_of_equals(positive), tn, len(negative))


def count_swapped(positive: np.ndarray, negative: np.ndarray) -> Counts:
    """Count with the negative kind as the positive one, and with negated scores.

    This is :func:`count` of ``-negative[::-1]`` and ``-positive[::-1]``.
    """
    not_above = np.searchsorted(positive, negative, side="right")[::-1]
    # Counted from above, the first of equal scores is the last.
    tp = len(negative) - _first_of_equals(negative[::-1])
    return Counts(tp, len(positive) - not_above, len(positive))


def _first_of_equals(scores: np.ndarray) -> np.ndarray:
    """Return for each sorted score the index of the first one that equals it."""
    index = np.arange(len(scores))
    index[1:][scores[1:] == scores[:-1]] = 0
    return np.maximum.accumulate(index, out=index)


def area_under_roc(
    positive: np.ndarray, negative: np.ndarray, below: np.ndarray | None = None
) -> float:
    """Return the probability that a positive outranks a negative; ties count half.

    Both arrays hold scores in ascending order. `below` is the number of negatives below
    each positive, if it is known: `tn` of :func:`count`.
    """
    if below is None:
        below = np.searchsorted(negative, positive, side="left")
    next_negative = negative[np.minimum(below, len(negative) - 1)]
    tied = next_negative == positive  # usually few
    not_above = np.searchsorted(negative, positive[tied], side="right")
    # Integers are exact: the sums stay below 2**63 up to 2e9 samples of each kind.
    twice = 2 * below.sum() + (not_above - below[tied]).sum()
    return twice / (2 * len(positive) * len(negative))


def average_precision(counts: Counts) -> float:
    """Return the mean over positives of the precision at their own score.

    This is the step-wise area under the precision-recall curve.
    """
    fp = counts.n_negative - counts.tn
    return np.mean(counts.tp / (counts.tp + fp))


def true_negatives(counts: Counts, tpr: float) -> int:
    """Return how many negatives the highest threshold that reaches `tpr` rejects."""
    n_accepted = ceil_up_to_noise(tpr * len(counts.tp))
    return counts.tn[-n_accepted]


def best_accuracy(counts: Counts) -> float:
    """Return the largest mean of true positive rate and true negative rate.

    This is the best accuracy for equally many positives and negatives.
    """
    tpr, tnr = counts.tp / len(counts.tp), counts.tn / counts.n_negative
    return np.max(tpr + tnr) / 2
