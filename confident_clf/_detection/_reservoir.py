# SPDX-License-Identifier: BSD-3-Clause
"""Calibrate on a stream: hold out a part of every batch, and keep a sample of these.

What a detector remembers of its stream is a dict of plain values, so that files can
hold it: "seed", "size" of the reservoir, "n_seen" rows of the stream, "n_held_out" of
them that could calibrate, and "rows", the reservoir.
"""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import validate_data

from confident_clf._detection._calibration import (
    check_detector,
    grouped,
    has_labels,
    holds_out_a_share,
    is_frozen,
    score,
)
from confident_clf._detection._confidence import to_be_fitted
from confident_clf._detection._conformal import n_calibration_needed
from confident_clf.utils._arrays import like, split_rows, to_numpy
from confident_clf.utils._items import opened_for, samples_and_labels
from confident_clf.utils._labels import is_known, labels_to_learn
from confident_clf.utils._lazy import LazyRows
from confident_clf.utils._params import params_of_rows
from confident_clf.utils._rounding import ceil_up_to_noise
from confident_clf.utils._routing import route_partial_fit_params
from confident_clf.utils._sklearn import _num_samples, _safe_indexing
from confident_clf.utils._tensors import as_array
from confident_clf.utils._types import SamplesLike

Reservoir = Any  # an array, or sparse rows, of which SciPy has no types


class Continued(NamedTuple):
    """A trained estimator, sorted confidences for each threshold, and the stream."""

    estimator: BaseEstimator
    groups: list[np.ndarray]  # one, or with per_class one for each class
    stream: dict


def reservoir_moves(
    n_seen: int, n_new: int, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows stay in a reservoir, and which of `n_new` rows enter it.

    The reservoir has ``min(n_seen, size)`` rows, a random sample of the `n_seen` rows
    before. It then is one of all rows: every set of `size` rows is equally likely.
    Vitter, "Random sampling with a reservoir", 1985, algorithm R: row number t, from 1,
    takes a place drawn from 1 to t, and is dropped if there is no such place.
    """
    n_kept = min(n_seen, size)
    numbers = np.arange(n_seen, n_seen + n_new)
    drawn = rng.integers(0, numbers + 1)
    places = np.where(numbers < size, numbers, drawn)
    enters = np.flatnonzero(places < size)
    source = np.arange(min(n_seen + n_new, size))
    source[places[enters]] = n_kept + enters  # of two rows in one place the last
    return source[source < n_kept], source[source >= n_kept] - n_kept


def can_stream(detector: BaseEstimator) -> bool:
    """Return whether a detector can learn batch by batch, or say why not."""
    if is_frozen(detector):
        raise AttributeError(
            "A FrozenEstimator is not trained further. Call fit with rows that it was "
            "not trained on, or pass the estimator without FrozenEstimator."
        )
    if not hasattr(detector.estimator, "partial_fit"):
        raise AttributeError(
            f"{type(detector.estimator).__name__} has no partial_fit. Use fit, or an "
            "estimator that has it, such as ConfidentClassifier or SGDClassifier."
        )
    if not holds_out_a_share(detector):
        raise AttributeError(
            f"partial_fit holds out a share of every batch, but cv={detector.cv!r} is "
            "not a share. Pass a float such as cv=0.2, or use fit."
        )
    return True


def go_on(
    detector: BaseEstimator,
    X: Any,
    y: Any,
    classes: ArrayLike | None,
    params: dict,
) -> Continued:
    """Train a copy of the estimator on a part of a batch, and score the reservoir."""
    check_detector(detector)
    is_first, stream = not hasattr(detector, "estimator_"), _stream_of(detector)
    if is_first:
        estimator = to_be_fitted(detector.estimator, detector.method)
    else:
        validate_data(detector, X, reset=False, skip_check_array=True)
        # Training changes most estimators in place, and an error may follow.
        estimator = deepcopy(detector.estimator_)
    X, y = samples_and_labels(X, y)
    X, y = indexable(opened_for(estimator, X), y)
    named = _classes_to_pass(detector, y, classes, is_first)
    _check_size(detector, named)
    rng = np.random.default_rng([stream["seed"], stream["n_seen"]])
    train, held_out = _split(_num_samples(X), detector.cv, rng)
    X_train, y_train = split_rows(estimator, X, y, train)
    params = route_partial_fit_params(detector, params)
    params = params_of_rows(X, params, train, y_train)
    estimator.partial_fit(X_train, y_train, **named, **params)
    y_held_out = None if y is None else _safe_indexing(y, held_out)
    known = held_out[is_known(estimator, y_held_out, len(held_out))]
    stream = _with_rows(stream, estimator, X, known, rng)
    stream["n_seen"] += _num_samples(X)
    groups = _groups(detector, estimator, _like_batch(_unpacked(stream["rows"]), X))
    return Continued(estimator, groups, stream)


def check_threshold(detector: BaseEstimator) -> None:
    """Raise NotFittedError if the stream was too short for a threshold so far."""
    if hasattr(detector, "threshold_"):
        return
    needed = n_calibration_needed(detector.target_tpr)
    each = " of every class" if np.ndim(detector.n_calibration_) else ""
    raise NotFittedError(
        f"target_tpr={detector.target_tpr} takes at least {needed} calibration rows"
        f"{each}; so far there are {np.array(detector.n_calibration_).tolist()}. Call "
        "partial_fit with more rows, or lower target_tpr before."
    )


def _stream_of(detector: BaseEstimator) -> dict:
    """Return what a detector remembers of its stream, or the beginning of one."""
    if not hasattr(detector, "_stream"):
        seed = check_random_state(detector.random_state).randint(2**31 - 1)
        start = {"seed": int(seed), "size": detector.reservoir_size}
        return {**start, "n_seen": 0, "n_held_out": 0, "rows": None}
    stream = detector._stream
    if stream["size"] != detector.reservoir_size:
        raise ValueError(
            f"reservoir_size={detector.reservoir_size} differs from that of the first "
            f"call, {stream['size']}. Set it back, or begin again with a clone."
        )
    return dict(stream)


def _check_size(detector: BaseEstimator, passed: dict) -> None:
    """Raise ValueError if even a full reservoir has too few rows.

    `passed` has the classes of the first call.
    """
    n_groups = 1
    if detector.per_class:
        known = getattr(detector, "classes_", None)
        classes = passed.get("classes") if known is None else known
        n_groups = 1 if classes is None else len(np.unique(classes))
    needed = n_calibration_needed(detector.target_tpr) * n_groups
    if detector.reservoir_size < needed:
        raise ValueError(
            f"target_tpr={detector.target_tpr} takes at least {needed} calibration "
            f"rows, more than reservoir_size={detector.reservoir_size}. Pass a larger "
            "reservoir_size, or lower target_tpr."
        )


def _classes_to_pass(
    detector: BaseEstimator,
    y: Any,
    classes: ArrayLike | None,
    is_first: bool,
) -> dict:
    """Return the parameter `classes` of the estimator's `partial_fit`, if it has one.

    In the first call that is the labels of the batch, if none are given. Raise
    ValueError for a label in y that is not among the classes.
    """
    if not is_classifier(detector.estimator):
        if classes is not None:
            raise ValueError(
                f"classes were given, but {type(detector.estimator).__name__} is not a "
                "classifier. Leave them out."
            )
        return {}
    if has_labels(detector, y):
        labels = labels_to_learn(detector.estimator, y)
        if is_first and classes is None:
            classes = labels
        known = classes if is_first else detector.estimator_.classes_
        unknown = np.setdiff1d(labels, np.asarray(known))
        if len(unknown):
            raise ValueError(
                f"y has labels {unknown.tolist()[:10]} that are not among the classes "
                f"{np.asarray(known).tolist()[:10]}. Name all classes that will ever "
                "occur in the first call: partial_fit(X, y, classes=...)."
            )
    return {} if classes is None else {"classes": classes}


def _split(
    n: int, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those held out, a share rounded up."""
    n_held_out = ceil_up_to_noise(share * n)
    if n_held_out >= n:
        raise ValueError(
            f"X has {n} row{'s' * (n != 1)}, and cv={share} holds out {n_held_out}, so "
            "none is left to train on. Pass more rows in each call."
        )
    order = rng.permutation(n)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def _with_rows(
    stream: dict,
    estimator: BaseEstimator,
    X: SamplesLike,
    numbers: np.ndarray,
    rng: np.random.Generator,
) -> dict:
    """Return the stream with more rows that could calibrate, given by their numbers."""
    n_held_out = stream["n_held_out"]
    stays, enters = reservoir_moves(n_held_out, len(numbers), stream["size"], rng)
    rows = stream["rows"]
    if len(enters):
        new = _in_memory(split_rows(estimator, X, None, numbers[enters])[0])
        rows = _packed(new if rows is None else _joined(_unpacked(rows)[stays], new))
    return {**stream, "n_held_out": n_held_out + len(numbers), "rows": rows}


def _groups(
    detector: BaseEstimator, estimator: BaseEstimator, rows: ArrayLike | None
) -> list[np.ndarray]:
    """Return the sorted confidences of the reservoir for each threshold."""
    if rows is None:  # no row was held out yet that could calibrate
        confidence, predicted = np.array([]), np.array([])
    else:
        confidence, predicted = score(detector, estimator, rows)
    classes = estimator.classes_ if detector.per_class else None
    return grouped(confidence, predicted, classes)


def _in_memory(rows) -> Reservoir:
    """Return rows as an array of their own, or as a sparse matrix."""
    if sparse.issparse(rows):
        return rows.tocsr()
    if isinstance(rows, LazyRows):
        return np.asarray(rows)
    return to_numpy(as_array(rows))


def _joined(rows: Reservoir, more: Reservoir) -> Reservoir:
    """Return two parts of a reservoir as one."""
    if sparse.issparse(rows) or sparse.issparse(more):
        return sparse.vstack([rows, more], format="csr")
    return np.concatenate([rows, more])


def _packed(rows: Reservoir) -> np.ndarray | dict:
    """Return rows as arrays only, which a file can hold."""
    if not sparse.issparse(rows):
        return rows
    arrays = {name: getattr(rows, name) for name in ("data", "indices", "indptr")}
    return {**arrays, "shape": rows.shape, "is_matrix": sparse.isspmatrix(rows)}


def _unpacked(packed: np.ndarray | dict | None) -> Reservoir:
    """Return the rows; raise ValueError for indices that point outside of them."""
    if not isinstance(packed, dict):
        return packed
    kind = sparse.csr_matrix if packed["is_matrix"] else sparse.csr_array
    arrays = packed["data"], packed["indices"], packed["indptr"]
    rows = kind(arrays, shape=packed["shape"])
    rows.check_format(full_check=True)  # they may be from a file
    return rows


def _like_batch(rows: Reservoir, X: Any):
    """Return the reservoir as the kind of frame or array that the batch X is."""
    if rows is None or sparse.issparse(rows) or isinstance(X, LazyRows):
        return rows
    if hasattr(X, "iloc"):
        return type(X)(rows, columns=X.columns)
    if hasattr(X, "with_columns"):
        return type(X)(rows, schema=X.columns, orient="row")
    return like(rows, X)
