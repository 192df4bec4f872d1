# SPDX-License-Identifier: BSD-3-Clause
"""What displays ask of a fitted estimator, also where a pipeline hides it."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from confident_clf._detection._confidence import Method, id_confidence, unwrap
from confident_clf._detection._detector import OODDetector
from confident_clf.metrics._scorer import _is_id
from confident_clf.utils._sklearn import _num_samples


def detector_of(estimator: BaseEstimator) -> OODDetector | None:
    """Return the detector that an estimator is or owns, or None."""
    last = unwrap(estimator)[0]
    last = getattr(last, "detector_", last)
    return last if isinstance(last, OODDetector) else None


def threshold_of(estimator: BaseEstimator) -> float | None:
    """Return the threshold on `confidence`, or None without a detector."""
    detector = detector_of(estimator)
    if detector is None:
        return None
    return 0.0 if detector._has_groups() else detector.threshold_


def confidence(
    estimator: BaseEstimator, X: ArrayLike, method: Method = None
) -> np.ndarray:
    """Return confidences; with a threshold for each class, those above it."""
    detector = detector_of(estimator)
    if method is None and detector is not None and detector._has_groups():
        return detector.decision_function(unwrap(estimator, X)[1])
    return id_confidence(estimator, X, method)


def known_and_confidence(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike | None,
    X_ood: ArrayLike | None,
    method: Method,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples of X and then of `X_ood` are known, and all confidences."""
    check_is_fitted(estimator)
    check_consistent_length(X, y)
    known = _is_id(estimator, y, _num_samples(X))
    if X_ood is None:
        return known, confidence(estimator, X, method)
    scores = [confidence(estimator, rows, method) for rows in (X, X_ood)]
    known = np.append(known, np.zeros(len(scores[1]), dtype=bool))
    return known, np.concatenate(scores)


def check_has_unknown(
    caller: str, estimator: BaseEstimator, y: ArrayLike | None, X_ood: ArrayLike | None
) -> None:
    """Raise ValueError, before anything is scored, if no sample is unknown."""
    if X_ood is not None:
        return
    if y is None or _is_id(estimator, y, len(y)).all():
        raise ValueError(
            f"{caller} needs samples that are unknown, and all of these are known. "
            "Pass unknown samples as X_ood, or give their rows of X a label that is "
            "not a class, such as -1."
        )
