# SPDX-License-Identifier: BSD-3-Clause
"""Fit an estimator, and score rows that it was not fitted on.

The functions take the detector, as scikit-learn's ``validate_data(estimator, X)`` does,
and read its parameters only.
"""

import warnings
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import BaseCrossValidator, ShuffleSplit, check_cv
from sklearn.utils import indexable
from sklearn.utils.validation import check_is_fitted

from confident_clf._detection._confidence import (
    check_method,
    id_confidence,
    to_be_fitted,
)
from confident_clf._detection._conformal import (
    check_enough,
    check_enough_per_class,
    lower,
)
from confident_clf._detection._order import warn_of_inversion
from confident_clf.utils._arrays import rows_of, split_rows
from confident_clf.utils._items import opened_for, samples_and_labels
from confident_clf.utils._labels import is_known, labels_to_learn
from confident_clf.utils._params import params_of_rows
from confident_clf.utils._rare import keep_classes
from confident_clf.utils._routing import refuse_groups, route_fit_params
from confident_clf.utils._sklearn import _num_samples, _safe_indexing
from confident_clf.utils._tensors import as_array
from confident_clf.utils._types import SamplesLike


class Calibrated(NamedTuple):
    """A fitted estimator, sorted confidences for each threshold, classes left out."""

    estimator: BaseEstimator
    groups: list[np.ndarray]  # one, or with per_class one for each class
    left_out: np.ndarray


class _Scored(NamedTuple):
    """A fitted estimator, and each calibration row's confidence and predicted class.

    `left_out` are the labels of rows that did not calibrate.
    """

    estimator: BaseEstimator
    confidence: np.ndarray
    predicted: np.ndarray  # zeros without per_class
    left_out: np.ndarray


def calibrate(
    detector: BaseEstimator, X: SamplesLike, y: Any, params: dict
) -> Calibrated:
    """Return the fitted estimator, and confidences of rows it was not fitted on."""
    check_detector(detector)
    X, y = samples_and_labels(X, y)
    X, y = indexable(opened_for(detector.estimator, X), y)
    score_rows = _score_frozen if is_frozen(detector) else _fit_and_score
    scored = score_rows(detector, X, y, params)
    _check_enough(detector, len(scored.confidence))
    _warn_of_left_out(scored.left_out)
    return Calibrated(scored.estimator, _group(detector, scored), scored.left_out)


def check_detector(detector: BaseEstimator) -> None:
    """Raise an error if the estimator cannot be scored by this method, or by class."""
    check_method(detector.estimator, detector.method)
    _check_classifier(detector)


def is_frozen(detector: BaseEstimator) -> bool:
    """Return whether the estimator comes fitted, so that all rows calibrate."""
    return isinstance(detector.estimator, FrozenEstimator)


def _score_frozen(
    detector: BaseEstimator, X: SamplesLike, y: Any, params: dict
) -> _Scored:
    """Score all rows by the frozen estimator."""
    estimator = detector.estimator
    if params:
        raise ValueError(
            f"fit got {', '.join(params)}, but a FrozenEstimator is not fitted "
            "again. Leave them out, or pass the estimator without FrozenEstimator."
        )
    check_is_fitted(estimator)
    _check_enough(detector, _num_samples(X))
    n_unknown = np.sum(~is_known(estimator, y, _num_samples(X)))
    if n_unknown:
        raise ValueError(
            f"{n_unknown} of {len(y)} rows have a label in y that is not among "
            "the classes_ of the frozen estimator, so they are out-of-distribution "
            "and cannot calibrate. Drop these rows."
        )
    if y is not None and detector.per_class:
        _check_enough_of_each(detector, estimator.classes_, y)
    confidence, predicted = score(detector, estimator, X)
    warn_of_inversion(estimator, X, confidence, detector.method)
    return _Scored(estimator, confidence, predicted, np.array([]))


def _fit_and_score(
    detector: BaseEstimator, X: SamplesLike, y: Any, params: dict
) -> _Scored:
    """Score each held-out row by an estimator fitted without it.

    With a held-out share, that estimator is the one to keep; with folds, the one to
    keep is fitted on all rows.
    """
    params, split_params = route_fit_params(detector, params)
    if holds_out_a_share(detector):
        refuse_groups(split_params, detector.cv, "cv=GroupKFold()")
    splits = list(_splitter(detector, y).split(X, y, **split_params))
    left_out: Any = []
    if holds_out_a_share(detector) and has_labels(detector, y):
        splits, left_out = _keep_rare(detector, y, *splits[0])
    _check_splits(detector, y, [held_out for _, held_out in splits])
    confidences: list = []
    predicted: list = []
    for train, held_out in splits:
        is_first = not confidences
        scored = _fit_and_score_split(detector, X, y, params, train, held_out, is_first)
        confidences.append(scored.confidence)
        predicted.append(scored.predicted)
        left_out.extend(scored.left_out)
    estimator = scored.estimator
    if not holds_out_a_share(detector):
        estimator = to_be_fitted(detector.estimator, detector.method)
        estimator.fit(X, y, **params)
    return _Scored(
        estimator,
        np.concatenate(confidences),
        np.concatenate(predicted),
        # Others are labels that the estimator itself set aside.
        np.intersect1d(left_out, getattr(estimator, "classes_", [])),
    )


def _fit_and_score_split(
    detector: BaseEstimator,
    X: SamplesLike,
    y: ArrayLike | None,
    params: dict,
    train: np.ndarray,
    held_out: np.ndarray,
    warns: bool,
) -> _Scored:
    """Fit on some rows; score the held-out rows whose label is a class."""
    estimator = to_be_fitted(detector.estimator, detector.method)
    X_train, y_train = split_rows(estimator, X, y, train)
    estimator.fit(X_train, y_train, **params_of_rows(X, params, train, y_train))
    X_held_out, y_held_out = split_rows(estimator, X, y, held_out, train)
    confidence, predicted = score(detector, estimator, X_held_out)
    known = is_known(estimator, y_held_out, len(confidence))
    if warns:
        rows = rows_of(X_held_out, np.flatnonzero(known))
        warn_of_inversion(estimator, rows, confidence[known], detector.method)
    left_out = np.array([]) if known.all() else np.ravel(y_held_out)[~known]
    return _Scored(estimator, confidence[known], predicted[known], left_out)


def has_labels(detector: BaseEstimator, y: Any) -> bool:
    """Return whether y has one label for each row, which a classifier will learn."""
    if not is_classifier(detector.estimator) or y is None or issparse(y):
        return False
    return np.size(as_array(y)) == len(y)


def _keep_rare(
    detector: BaseEstimator, y: ArrayLike, train: np.ndarray, held_out: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list]:
    """Return the split in which every class is trained on, and the classes it moved.

    None of the moved classes has rows that calibrate. So the others calibrate as if the
    moved ones did not exist, and their guarantee stays.
    """
    classes = labels_to_learn(detector.estimator, y)
    y = np.ravel(y)
    moved = np.setdiff1d(np.intersect1d(y[held_out], classes), y[train])
    return [keep_classes(train, held_out, y)], moved.tolist()


def _warn_of_left_out(left_out: np.ndarray) -> None:
    """Warn of classes without a guarantee, in the same words for the same classes."""
    if len(left_out):
        warnings.warn(
            f"The classes {left_out[:10].tolist()} have too few rows to calibrate "
            "with: the detector knows them, but promises nothing for them. Add rows of "
            "these classes; uncalibrated_classes_ has their labels.",
            UserWarning,
            stacklevel=2,
        )


def score(
    detector: BaseEstimator, estimator: BaseEstimator, X: SamplesLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences, and with `per_class` predicted classes, else zeros."""
    confidence = id_confidence(estimator, X, detector.method)
    if detector.per_class:
        return confidence, estimator.predict(X)
    return confidence, np.zeros(len(confidence), dtype=np.intp)


def _group(detector: BaseEstimator, scored: _Scored) -> list[np.ndarray]:
    """Return the lowered confidences, sorted, for each threshold."""
    if not detector.per_class:
        return grouped(scored.confidence, scored.predicted, None)
    classes = scored.estimator.classes_
    groups = grouped(scored.confidence, scored.predicted, classes)
    sizes = [len(group) for group in groups]
    counts = dict(zip(classes.tolist(), sizes, strict=True))
    check_enough_per_class(counts, detector.target_tpr, "predicted")
    return groups


def grouped(
    confidence: np.ndarray, predicted: np.ndarray, classes: np.ndarray | None
) -> list[np.ndarray]:
    """Return lowered confidences, sorted: in one group, or one for each class."""
    confidence = lower(confidence)
    if classes is None:
        return [np.sort(confidence)]
    return [np.sort(confidence[predicted == label]) for label in classes]


def _check_classifier(detector: BaseEstimator) -> None:
    """Raise TypeError if the estimator has no classes to set thresholds for."""
    if detector.per_class and not is_classifier(detector.estimator):
        raise TypeError(
            f"per_class=True needs a classifier; {type(detector.estimator).__name__} "
            "is not a classifier. Use per_class=False."
        )


def _check_splits(
    detector: BaseEstimator, y: ArrayLike | None, held_out: list[np.ndarray]
) -> None:
    """Raise ValueError if too few rows are held out, before anything is fitted."""
    _check_enough(detector, sum(map(len, held_out)))
    if detector.per_class and y is not None:
        classes = labels_to_learn(detector.estimator, y)
        y = _safe_indexing(y, np.concatenate(held_out))
        _check_enough_of_each(detector, classes, y)


def _check_enough_of_each(
    detector: BaseEstimator, classes: np.ndarray, y: ArrayLike
) -> None:
    """Raise ValueError if a class has too few labelled rows to calibrate."""
    y = np.ravel(y)
    counts = {label: int(np.sum(y == label)) for label in classes.tolist()}
    check_enough_per_class(counts, detector.target_tpr, "labelled")


def _check_enough(detector: BaseEstimator, n: int) -> None:
    """Raise ValueError if n rows are too few to calibrate."""
    share = detector.cv if holds_out_a_share(detector) else 1
    check_enough(n, detector.target_tpr, share)


def holds_out_a_share(detector: BaseEstimator) -> bool:
    """Return whether rows are held out once, as a share, and not in folds."""
    is_share = isinstance(detector.cv, Real) and not isinstance(detector.cv, Integral)
    return is_share and not is_frozen(detector)


def _splitter(detector: BaseEstimator, y: ArrayLike | None) -> BaseCrossValidator:
    """Return the splitter that `cv` describes."""
    if holds_out_a_share(detector):
        return ShuffleSplit(
            1, test_size=detector.cv, random_state=detector.random_state
        )
    return check_cv(detector.cv, y=y, classifier=is_classifier(detector.estimator))
