# SPDX-License-Identifier: BSD-3-Clause
"""All metrics of a detector at once."""

from bisect import bisect_right

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
from confident_clf.metrics._metric_input import check_scores, check_share


def ood_report(
    confidence_in: ArrayLike, confidence_out: ArrayLike, *, tpr: float = 0.95
) -> dict[str, float]:
    """Return all metrics of a confidence on ID and OOD samples.

    Parameters
    ----------
    confidence_in : array-like of shape (n_in,)
        Confidences of in-distribution (ID) samples, higher for ID.
    confidence_out : array-like of shape (n_out,)
        Confidences of out-of-distribution (OOD) samples.
    tpr : float, default=0.95
        True positive rate for `tnr_at_tpr` and both `fpr_at_tpr`, in (0, 1].

    Returns
    -------
    dict
        Floats under ``"auroc"``, ``"aupr_in"``, ``"aupr_out"``, ``"tnr_at_tpr"``,
        ``"fpr_at_tpr"`` (ID as the positive kind), ``"fpr_at_tpr_out"`` (OOD as the
        positive kind), ``"detection_accuracy"`` and ``"expected_calibration_error"``
        (of the confidence as the probability of being ID; nan unless all are in
        [0, 1]). Also the numbers of samples, ``"n_in"`` and ``"n_out"``, because AUPR
        means nothing without them.

    Raises
    ------
    ValueError
        If a kind has no samples, a confidence is not finite, or `tpr` is out of range.

    See Also
    --------
    confident_clf.metrics.fpr_at_tpr : Explains the two kinds of FPR.

    Examples
    --------
    >>> from confident_clf.metrics import ood_report
    >>> report = ood_report([0.9, 0.8, 0.7, 0.6], [0.65, 0.1])
    >>> report["auroc"], report["tnr_at_tpr"], report["n_in"], report["n_out"]
    (0.875, 0.5, 4, 2)
    """
    check_share("tpr", tpr)
    id_scores = np.sort(check_scores("confidence_in", confidence_in))
    ood_scores = np.sort(check_scores("confidence_out", confidence_out))
    id_positive = count(id_scores, ood_scores)
    ood_positive = count_swapped(id_scores, ood_scores)
    n_in, n_out = len(id_scores), len(ood_scores)
    ood_rejected = true_negatives(id_positive, tpr)
    id_rejected = n_in - true_negatives(ood_positive, tpr)
    metrics = {
        "auroc": area_under_roc(id_scores, ood_scores, below=id_positive.tn),
        "aupr_in": average_precision(id_positive),
        "aupr_out": average_precision(ood_positive),
        "tnr_at_tpr": ood_rejected / n_out,
        "fpr_at_tpr": (n_out - ood_rejected) / n_out,
        "fpr_at_tpr_out": id_rejected / n_in,
        "detection_accuracy": best_accuracy(id_positive),
        "expected_calibration_error": _calibration_error(id_scores, ood_scores),
    }
    floats = {name: float(value) for name, value in metrics.items()}
    return floats | {"n_in": n_in, "n_out": n_out}


def _calibration_error(id_scores: np.ndarray, ood_scores: np.ndarray) -> float:
    """Return the expected calibration error of sorted scores, whose bins are slices.

    It is nan unless all scores are in [0, 1].
    """
    if min(id_scores[0], ood_scores[0]) < 0 or max(id_scores[-1], ood_scores[-1]) > 1:
        return np.nan
    gaps = [
        len(known) - known.sum() - unknown.sum()
        for known, unknown in zip(_bins(id_scores), _bins(ood_scores), strict=True)
    ]
    return np.abs(gaps).sum() / (len(id_scores) + len(ood_scores))


def _bins(scores: np.ndarray, n_bins: int = 15) -> list[np.ndarray]:
    """Return the slices of sorted scores in ((b - 1) / B, b / B], 0 in the first."""
    ends = [
        bisect_right(scores, b, key=lambda score: np.ceil(score * n_bins))
        for b in range(1, n_bins)
    ]
    return np.split(scores, ends)
