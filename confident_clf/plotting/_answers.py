# SPDX-License-Identifier: BSD-3-Clause
"""What displays ask of a fitted estimator, also where a pipeline hides it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from confident_clf._detection._confidence import Method, id_confidence, unwrap
from confident_clf._detection._detector import OODDetector
from confident_clf.metrics._scorer import _is_id
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._sklearn import _num_samples
from confident_clf.utils._types import SamplesLike


def detector_of(estimator: BaseEstimator) -> OODDetector | None:
    """Return the detector that an estimator is or owns, or None."""
    last = unwrap(estimator)[0]
    last = getattr(last, "detector_", last)
    return last if isinstance(last, OODDetector) else None


def threshold_of(estimator: BaseEstimator) -> Any:
    """Return the threshold on `confidence`, or None without a detector."""
    detector = detector_of(estimator)
    if detector is None:
        return None
    return 0.0 if detector._has_groups() else detector.threshold_


def confidence(
    estimator: BaseEstimator, X: SamplesLike, method: Method = None
) -> np.ndarray:
    """Return confidences; with a threshold for each class, those above it."""
    detector = detector_of(estimator)
    if method is None and detector is not None and detector._has_groups():
        return detector.decision_function(unwrap(estimator, X)[1])
    return id_confidence(estimator, X, method)


def known_and_answers(
    estimator: BaseEstimator,
    X: SamplesLike,
    y: ArrayLike | None,
    X_ood: SamplesLike | None,
    answer: Callable[[SamplesLike], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples of X and then of `X_ood` are known, and answers to all."""
    check_is_fitted(estimator)
    check_consistent_length(X, y)
    known = _is_id(estimator, y, _num_samples(X))
    if X_ood is None:
        return known, answer(X)
    answers = [answer(rows) for rows in (X, X_ood)]
    known = np.append(known, np.zeros(len(answers[1]), dtype=bool))
    return known, np.concatenate(answers)


def classifier_of(estimator: BaseEstimator, X: Any = None) -> tuple[BaseEstimator, Any]:
    """Return what is inside of pipelines, searches and detectors, and X for it."""
    last, X = unwrap(estimator, X)
    detector = detector_of(last)
    if detector is not None:
        return classifier_of(detector.estimator_, X)
    if hasattr(last, "best_estimator_"):
        return classifier_of(last.best_estimator_, X)
    return last, X


def is_right(estimator: BaseEstimator, X: SamplesLike, y: ArrayLike) -> np.ndarray:
    """Return where the classifier inside of an estimator predicts the label."""
    classifier, X = classifier_of(estimator, X)
    return np.ravel(to_numpy(classifier.predict(X))) == np.ravel(to_numpy(y))


def check_labels(caller: str, y: ArrayLike | None) -> None:
    """Raise ValueError if there are no labels to compare predictions with."""
    if y is None:
        raise ValueError(
            f"{caller} compares predictions with labels, but y is None. Pass the "
            "labels of X as y."
        )


def check_classifies(caller: str, estimator: BaseEstimator, needed: str) -> None:
    """Raise TypeError, before anything is predicted, without a classifier."""
    check_is_fitted(estimator)
    classifier = classifier_of(estimator)[0]
    if not (is_classifier(classifier) and hasattr(classifier, needed)):
        raise TypeError(
            f"{caller} needs a classifier with {needed}, which "
            f"{type(classifier).__name__} is not. Pass a fitted classifier, or a "
            "detector of one."
        )


def check_has_unknown(
    caller: str,
    estimator: BaseEstimator,
    y: Any,
    X_ood: SamplesLike | None,
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


def check_detects(caller: str, estimator: BaseEstimator) -> None:
    """Raise TypeError unless an estimator is or has a detector."""
    if detector_of(estimator) is None:
        raise TypeError(
            f"{caller} needs an OODDetector or an OpenSetClassifier; got "
            f"{type(estimator).__name__}. Fit OODDetector(FrozenEstimator(estimator)) "
            "on rows that it was not trained on."
        )


def p_values_of(estimator: BaseEstimator, X: SamplesLike) -> np.ndarray:
    """Return the p-values of a detector, also where a pipeline hides it."""
    detector: Any = detector_of(estimator)
    return detector.p_value(unwrap(estimator, X)[1])


def image_shape_of(estimator: BaseEstimator) -> tuple[int, int, int] | None:
    """Return (channels, height, width) of a classifier of images, else None."""
    shape = getattr(classifier_of(estimator)[0], "input_shape_", ())
    return tuple(shape) if len(shape) == 3 else None


def samples_of(caller: str, estimator: BaseEstimator, n: int) -> np.ndarray:
    """Return samples of the source inside of an estimator, in the units of its X."""
    if isinstance(estimator, FrozenEstimator):
        return samples_of(caller, estimator.estimator, n)
    if isinstance(estimator, Pipeline):
        samples = samples_of(caller, estimator[-1], n)
        return _before(caller, estimator, samples) if len(estimator) > 1 else samples
    for inner in ("best_estimator_", "estimator_"):
        if hasattr(estimator, inner):
            return samples_of(caller, getattr(estimator, inner), n)
    if not hasattr(estimator, "sample_ood"):
        raise TypeError(
            f"{caller} needs a ConfidentClassifier, which makes samples; "
            f"{type(estimator).__name__} has no sample_ood."
        )
    return estimator.sample_ood(n)


def _before(caller: str, pipeline: Pipeline, samples: np.ndarray) -> np.ndarray:
    """Return samples in the units of a pipeline's X."""
    steps = pipeline[:-1]
    if not hasattr(steps, "inverse_transform"):
        raise TypeError(
            f"{caller}: the steps {[name for name, _ in steps.steps]} of the pipeline "
            "have no inverse_transform, so its samples have no form in X. Use the last "
            "step alone, on what the others return."
        )
    return steps.inverse_transform(samples)
