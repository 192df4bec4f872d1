# SPDX-License-Identifier: BSD-3-Clause
"""The threshold of split-conformal prediction.

Let n calibration scores and a new score s be exchangeable, as they are if all samples
are drawn from one distribution, and the threshold the k-th smallest calibration score,
k = (n + 1) - ceil((n + 1) * t). If s is below it, at most k of the n + 1 scores, s
itself among them, are as small as s. At most k of any n + 1 scores can have that
property, ties or not, and s is equally likely to be any of them. So s is rejected with
probability k / (n + 1) <= 1 - t at most, and exactly with k / (n + 1) without ties.

The p-value of s is (1 + c) / (n + 1), c being how many calibration scores are not above
s. It exceeds 1 - t if and only if 1 + c > (n + 1) * (1 - t), that is if c >= k, as k is
that number rounded down; and c >= k means that s reaches the k-th smallest score.
"""

from math import ceil

import numpy as np
from scipy.stats import false_discovery_control

from confident_clf.utils._rounding import ceil_up_to_noise

# Relative, and more than matrix products in float64 lose.
_NOISE = 1e-9


def lower(scores):
    """Return calibration scores lowered by more than rounding errors.

    The same row gets another last digit in a batch of another size, because matrix
    products are summed in another order. If it is the row at the threshold, it would be
    rejected at random, and so would all rows equal to it, however many they are.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Scores.

    Returns
    -------
    ndarray of shape (n,)
        Lower scores, which can only make a detector accept more.
    """
    return scores * (1 - _NOISE * np.sign(scores))


def conformal_rank(n, target_tpr):
    """Return which of n calibration scores, from the smallest, is the threshold.

    Parameters
    ----------
    n : int
        Number of calibration scores.
    target_tpr : float
        Least probability that a new score is accepted, between 0 and 1.

    Returns
    -------
    int
        1 for the smallest score, and so on; 0 if n scores are too few.
    """
    return n + 1 - ceil_up_to_noise((n + 1) * target_tpr)


def n_calibration_needed(target_tpr):
    """Return how many calibration scores are enough for `target_tpr`.

    Parameters
    ----------
    target_tpr : float
        Least probability that a new score is accepted, between 0 and 1.

    Returns
    -------
    int
        The least number with a `conformal_rank` of 1 or more.
    """
    return ceil_up_to_noise(1 / (1 - target_tpr)) - 1


def check_enough(n, target_tpr, share):
    """Raise ValueError if n calibration scores are too few.

    Parameters
    ----------
    n : int
        Number of calibration scores.
    target_tpr : float
        Least probability that a new score is accepted, between 0 and 1.
    share : float
        Share of the rows that calibrate, to say how many rows would do.
    """
    if conformal_rank(n, target_tpr) < 1:
        needed = n_calibration_needed(target_tpr)
        raise ValueError(
            f"target_tpr={target_tpr} takes at least {needed} calibration rows; there "
            f"are {n}. Fit on at least {ceil(needed / share)} in-distribution rows, or "
            "lower target_tpr."
        )


def check_enough_per_class(counts, target_tpr, which):
    """Raise ValueError if a class has too few calibration scores.

    Parameters
    ----------
    counts : dict
        Number of calibration scores of each class.
    target_tpr : float
        Least probability that a new score is accepted, between 0 and 1.
    which : {"labelled", "predicted"}
        What makes a row one of the class.
    """
    label = min(counts, key=counts.get)
    if conformal_rank(counts[label], target_tpr) < 1:
        needed = n_calibration_needed(target_tpr)
        n_short = sum(conformal_rank(n, target_tpr) < 1 for n in counts.values())
        raise ValueError(
            f"per_class=True and target_tpr={target_tpr} take at least {needed} "
            f"calibration rows of every class; {n_short} of {len(counts)} classes have "
            f"fewer, {counts[label]} are {which} {label!r}. Calibrate on more rows of "
            "it, lower target_tpr, or use per_class=False."
        )


def conformal_p_values(calibration_scores, scores):
    """Return the p-values of new scores.

    Parameters
    ----------
    calibration_scores : ndarray of shape (n,)
        In ascending order.
    scores : ndarray of shape (m,)
        New scores.

    Returns
    -------
    ndarray of shape (m,), float64
        (1 + number of calibration scores that are not higher) / (1 + n).
    """
    not_higher = np.searchsorted(calibration_scores, scores, side="right")
    return (1 + not_higher) / (1 + len(calibration_scores))


def discoveries(p_values, fdr):
    """Return which p-values the procedure of Benjamini and Hochberg rejects.

    Parameters
    ----------
    p_values : ndarray of shape (m,)
        All of a batch.
    fdr : float
        Expected share of true hypotheses among the rejected ones, between 0 and 1.

    Returns
    -------
    ndarray of shape (m,), bool
        True where rejected.

    Raises
    ------
    ValueError
        If `fdr` is not between 0 and 1.
    """
    if not 0 < fdr < 1:
        raise ValueError(
            f"fdr must be between 0 and 1; got {fdr!r}. Pass 0.1 for one false "
            "discovery in ten, or None for the threshold."
        )
    # The adjusted p-values are quotients of whole numbers, but for rounding errors.
    return false_discovery_control(p_values) <= fdr * (1 + _NOISE)


def conformal_threshold(scores, target_tpr):
    """Return the threshold that a new score reaches with probability `target_tpr`.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Calibration scores, enough of them.
    target_tpr : float
        Least probability that a new score is accepted, between 0 and 1.

    Returns
    -------
    float
        One of the scores.

    Raises
    ------
    ValueError
        If it is infinite.
    """
    smaller = conformal_rank(len(scores), target_tpr) - 1
    threshold = float(np.partition(scores, smaller)[smaller])
    if np.isinf(threshold):
        raise ValueError(
            f"Too many confidences of calibration rows are {threshold} for a threshold "
            f"at target_tpr={target_tpr}. Use an estimator or a method with finite "
            "confidences."
        )
    return threshold
