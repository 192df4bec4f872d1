# SPDX-License-Identifier: BSD-3-Clause
"""The expected calibration error."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.metrics._metric_input import (
    check_kinds,
    check_numbers,
    check_one_per_score,
    check_scores,
)


def expected_calibration_error(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    n_bins: int = 15,
    labels: ArrayLike | None = None,
) -> float:
    """Mean gap between confidence and accuracy, over bins of equal width.

    Introduced in [1]_. It is::

        sum_b n_b / n * abs(mean accuracy in b - mean confidence in b).

    Bin b of B holds the n_b of n samples with a confidence in ((b - 1) / B, b / B]. The
    first bin also contains 0.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        With 1-D `y_score`: 1 if the sample is ID or its prediction is right, else 0.
        With 2-D `y_score`: the labels.
    y_score : array-like of shape (n_samples,) or (n_samples, n_classes)
        1-D: confidences in [0, 1]. 2-D: class probabilities, as from ``predict_proba``.
        The largest one is the confidence, and its class is the prediction.
    n_bins : int, default=15
        Number of bins.
    labels : array-like of shape (n_classes,) or None, default=None
        Labels of the columns of a 2-D `y_score`, such as ``classes_``. None means 0, 1,
        and so on.

    Returns
    -------
    float
        Between 0 and 1, smaller is better.

    Raises
    ------
    ValueError
        If shapes do not match, a score is outside [0, 1], or a label has no column.

    References
    ----------
    .. [1] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. (3).

    Examples
    --------
    >>> from confident_clf.metrics import expected_calibration_error
    >>> expected_calibration_error([1, 1, 1, 0], [0.75, 0.75, 0.75, 0.75])
    0.0
    >>> expected_calibration_error(
    ...     ["cat", "dog"], [[0.75, 0.25], [1.0, 0.0]], labels=["cat", "dog"]
    ... )
    0.625
    """
    n, n_right, confidence = calibration_bins(y_true, y_score, n_bins, labels)
    # n_b times a mean over bin b is a sum.
    return float(np.abs(n_right - confidence).sum() / n.sum())


def calibration_bins(
    y_true: ArrayLike, y_score: ArrayLike, n_bins: int, labels: ArrayLike | None
) -> np.ndarray:
    """Return the numbers of samples and right ones, and summed confidences, by bin."""
    if not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer of at least 1; got {n_bins!r}.")
    y_score = check_numbers("y_score", y_score)
    if y_score.ndim == 2:
        right, confidence = _top_label(y_true, y_score, labels)
    elif labels is not None:
        raise ValueError(
            f"labels={labels!r} name the columns of a 2-D y_score, but y_score has "
            f"shape {y_score.shape}. Leave labels=None."
        )
    else:
        right, confidence = y_true, y_score
    confidence = check_scores("y_score", confidence)
    right = check_kinds(right, len(confidence))
    _check_unit_interval(confidence)
    # Bin b ends at b / B, and holds its end.
    bins = np.searchsorted(np.arange(1, n_bins) / n_bins, confidence, side="left")
    weights = [np.ones(len(bins)), right, confidence]
    return np.array([np.bincount(bins, w, minlength=n_bins) for w in weights])


def _top_label(
    labels_true: ArrayLike, probabilities: np.ndarray, labels: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the most probable label is right, and its probability."""
    labels = np.arange(probabilities.shape[1]) if labels is None else np.asarray(labels)
    if labels.shape != probabilities.shape[1:] or not labels.size:
        raise ValueError(
            f"labels must name the {probabilities.shape[1]} columns of y_score; got "
            f"shape {labels.shape}. Pass classes_ of the estimator."
        )
    labels_true = check_one_per_score(labels_true, len(probabilities))
    unknown = ~np.isin(labels_true, labels)
    if unknown.any():
        raise ValueError(
            f"y_true holds {labels_true[unknown][0]!r}, which is not a column of "
            f"y_score: labels are {labels.tolist()}. Drop such rows, or pass labels."
        )
    top = probabilities.argmax(axis=1)
    return labels[top] == labels_true, probabilities.max(axis=1)


def _check_unit_interval(confidence: np.ndarray) -> None:
    """Raise ValueError unless confidences are in [0, 1]."""
    low, high = confidence.min(), confidence.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"y_score must be in [0, 1]; got values from {low} to {high}. Pass "
            "probabilities, such as the largest of predict_proba."
        )
