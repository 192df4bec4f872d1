# SPDX-License-Identifier: BSD-3-Clause
"""The threshold of split-conformal prediction.

Let n calibration scores and a new score s be exchangeable, as they are if all samples
are drawn from one distribution, and the threshold the k-th smallest calibration score,
k = (n + 1) - ceil((n + 1) * t). If s is below it, at most k of the n + 1 scores,
counting s itself, are as small as s. At most k of any n + 1 scores can have that
property, with or without ties, and s is equally likely to be any of them. So s is
rejected with probability k / (n + 1) <= 1 - t at most. Without ties, this is the exact
probability.

The p-value of s is (1 + c) / (n + 1), where c counts the calibration scores that are
not above s. It exceeds 1 - t if and only if 1 + c > (n + 1) * (1 - t). As k is the
right side rounded down, this means c >= k: s reaches the k-th smallest score.
"""

from math import ceil

import numpy as np
from scipy.stats import false_discovery_control

from confident_clf.utils._rounding import ceil_up_to_noise

# Relative; more than the rounding error of a matrix product in float64.
_NOISE = 1e-9


def lower(scores: np.ndarray) -> np.ndarray:
    """Return calibration scores lowered by slightly more than rounding errors.

    The same row gets another last digit in a batch of another size, because matrix
    products then sum in another order. Without this, the row at the threshold and all
    rows equal to it would be rejected at random. Lower calibration scores can only make
    a detector accept more.
    """
    return scores * (1 - _NOISE * np.sign(scores))


def conformal_rank(n: int, target_tpr: float) -> int:
    """Return which of n calibration scores is the threshold, 1 for the smallest.

    0 means that n scores are too few to accept a new score with probability
    `target_tpr`.
    """
    return n + 1 - ceil_up_to_noise((n + 1) * target_tpr)


def n_calibration_needed(target_tpr: float) -> int:
    """Return the least number of calibration scores with a `conformal_rank` above 0."""
    return ceil_up_to_noise(1 / (1 - target_tpr)) - 1


def check_enough(n: int, target_tpr: float, share: float) -> None:
    """Raise ValueError if n calibration scores are too few.

    The message says how many rows to fit on, if a `share` of them calibrates.
    """
    if conformal_rank(n, target_tpr) < 1:
        needed = n_calibration_needed(target_tpr)
        raise ValueError(
            f"target_tpr={target_tpr} takes at least {needed} calibration rows; there "
            f"are {n}. Fit on at least {ceil(needed / share)} in-distribution rows, or "
            "lower target_tpr."
        )


def check_enough_per_class(counts: dict, target_tpr: float, which: str) -> None:
    """Raise ValueError if a class has too few calibration scores.

    `counts` has the number of scores of each class, and `which` says why they belong to
    it: they are "labelled" or "predicted" so.
    """
    label = min(counts, key=counts.__getitem__)
    if conformal_rank(counts[label], target_tpr) < 1:
        needed = n_calibration_needed(target_tpr)
        n_short = sum(conformal_rank(n, target_tpr) < 1 for n in counts.values())
        raise ValueError(
            f"per_class=True and target_tpr={target_tpr} take at least {needed} "
            f"calibration rows of every class; {n_short} of {len(counts)} classes have "
            f"fewer, {counts[label]} are {which} {label!r}. Calibrate on more rows of "
            "it, lower target_tpr, or use per_class=False."
        )


def conformal_threshold(scores: np.ndarray, target_tpr: float) -> float:
    """Return the score that a new score reaches with probability `target_tpr`.

    It is one of the calibration scores, which may be in any order. Raise ValueError if
    it is infinite.
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


def conformal_p_values(
    calibration_scores: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Return (1 + number of calibration scores not above s) / (1 + n) for each score s.

    The n calibration scores must be sorted.
    """
    not_higher = np.searchsorted(calibration_scores, scores, side="right")
    return (1 + not_higher) / (1 + len(calibration_scores))


def discoveries(p_values: np.ndarray, fdr: float) -> np.ndarray:
    """Return which p-values of a batch the Benjamini-Hochberg procedure rejects.

    `fdr` is the expected share of true hypotheses among the rejected ones. Raise
    ValueError if it is not between 0 and 1.
    """
    if not 0 < fdr < 1:
        raise ValueError(
            f"fdr must be between 0 and 1; got {fdr!r}. Pass 0.1 for one false "
            "discovery in ten, or None for the threshold."
        )
    # Up to rounding errors, the adjusted p-values are quotients of whole numbers.
    return false_discovery_control(p_values) <= fdr * (1 + _NOISE)
