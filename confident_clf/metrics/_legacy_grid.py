# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of the paper's reference code, to compare with published numbers."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.metrics._metric_input import check_scores


def legacy_grid(
    confidence_in: ArrayLike, confidence_out: ArrayLike, *, n_thresholds: int = 200_000
) -> dict[str, float]:
    """Return metrics on a grid of thresholds, as the reference code of [1]_ does.

    Only for a comparison with numbers that were published so; otherwise use
    :func:`ood_report`, which is exact. The thresholds are equally spaced from the
    smallest to the largest confidence, without the largest itself. So samples between
    the last threshold and the largest confidence are never told apart, and unknown
    samples there do not enter the AUROC at all. If a network is sure of most samples,
    its maximum class probabilities are there, and the AUROC is far too low; it may even
    be below the detection accuracy, which is impossible.

    The "TNR at 95 % TPR" is the mean over all thresholds at which the true positive
    rate is between .94 and .96, and 0 if there is none.

    Parameters
    ----------
    confidence_in : array-like of shape (n_in,)
        Confidences of in-distribution (ID) samples, higher for ID: in [1]_ the maximum
        class probability.
    confidence_out : array-like of shape (n_out,)
        Confidences of out-of-distribution (OOD) samples.
    n_thresholds : int, default=200_000
        Size of the grid, that of the reference code.

    Returns
    -------
    dict
        Floats under ``"tnr_at_tpr"``, ``"auroc"``, ``"detection_accuracy"``,
        ``"aupr_in"`` and ``"aupr_out"``. Precision is for equally many samples of both
        kinds.

    Raises
    ------
    ValueError
        If a kind has no samples, a confidence is not finite, all confidences are the
        same or closer together than a grid can be, or `n_thresholds` is below 1.

    See Also
    --------
    ood_report : The same metrics, computed exactly.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018.

    Examples
    --------
    70 % of the probabilities are 1: 800 of 1000 known samples, 600 of 1000 unknown.

    >>> import numpy as np
    >>> from confident_clf.metrics import legacy_grid, ood_report
    >>> known = np.r_[np.ones(800), np.linspace(0.1, 0.99, 200)]
    >>> unknown = np.r_[np.ones(600), np.linspace(0.1, 0.99, 400)]
    >>> print(round(ood_report(known, unknown)["auroc"], 2))
    0.6
    >>> print(round(legacy_grid(known, unknown)["auroc"], 2))
    0.36
    """
    known = np.sort(check_scores("confidence_in", confidence_in))
    unknown = np.sort(check_scores("confidence_out", confidence_out))
    low, high = min(known[0], unknown[0]), max(known[-1], unknown[-1])
    step = _step(low, high, n_thresholds)
    up, down = np.arange(low, high, step), np.arange(high, low, -step)
    tpr = _share_accepted(known, up)
    fpr = 1 - np.searchsorted(unknown, up, side="right") / len(unknown)
    in_window = (tpr >= 0.94) & (tpr <= 0.96)
    rejected_in, rejected_out = (1 - _share_accepted(x, down) for x in (known, unknown))
    metrics = {
        "tnr_at_tpr": 1 - fpr[in_window].mean() if in_window.any() else 0.0,
        "auroc": _falls(fpr) @ tpr,
        "detection_accuracy": 1 - np.min(1 - tpr + fpr) / 2,
        "aupr_in": _area(tpr, _share_accepted(unknown, up)),
        "aupr_out": _area(rejected_out, rejected_in),
    }
    return {name: float(value) for name, value in metrics.items()}


def _step(low: float, high: float, n_thresholds: int) -> float:
    """Return the distance of two thresholds; raise ValueError if there is no grid."""
    if not isinstance(n_thresholds, Integral) or n_thresholds < 1:
        raise ValueError(
            "n_thresholds must be an integer of at least 1; got "
            f"{n_thresholds!r}. The reference code has 200_000."
        )
    if low == high:
        raise ValueError(
            f"All confidences are {low}, so a grid of thresholds has no width. Use "
            "ood_report, which needs no grid."
        )
    step = (high - low) / n_thresholds
    if low + step == low or high - step == high:
        raise ValueError(
            f"The confidences, {low} to {high}, are too close for n_thresholds="
            f"{n_thresholds}. Use ood_report, which needs no grid."
        )
    return step


def _share_accepted(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of sorted scores that are at least each threshold."""
    n_below = np.searchsorted(scores, thresholds, side="left")
    return (len(scores) - n_below) / len(scores)


def _falls(values: np.ndarray) -> np.ndarray:
    """Return by how much each value is below the one before, the first below 1."""
    return -np.diff(values, prepend=1.0)


def _area(recall: np.ndarray, other: np.ndarray) -> float:
    """Return the area under precision and recall, with a rectangle at the end.

    `other` is the share of the other kind that each threshold takes for this one.
    """
    taken = recall + other > 0
    recall, other = recall[taken], other[taken]
    precision = recall / (recall + other)
    return _falls(recall) @ precision + recall[-1] * precision[-1]
