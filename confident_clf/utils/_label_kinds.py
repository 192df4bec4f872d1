# SPDX-License-Identifier: BSD-3-Clause
"""Labels of every kind: numbers, strings and dates; others are refused by name."""

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

_TO_STRINGS = "[str(label) for label in y]"


def plain_labels(y: Any) -> Any:
    """Return labels as an array of numbers, strings or dates.

    Nullable integers of pandas stay integers. Raise ValueError if some are missing, or
    are of a kind that cannot name classes. None, and what NumPy cannot read, come back
    as they are.
    """
    if y is None:
        return y
    if issparse(y):
        _refuse_columns(y, y.toarray())
    # Of a list, NumPy would make strings of numbers and NaN, and columns of tuples.
    if isinstance(y, (list, tuple)) and not any(isinstance(row, list) for row in y):
        _refuse_odd_types(list(y))
        _refuse_missing(list(y))
    try:
        labels = np.asarray(y)
    except (TypeError, ValueError, RuntimeError):
        return y  # scikit-learn's validation says what is wrong
    if labels.ndim == 2 and labels.shape[1] > 1:
        _refuse_columns(y, labels)
    if labels.dtype.kind == "S":
        _refuse("bytes", "y.astype(str)")
    if labels.dtype.kind == "V":
        _refuse("records (a structured array)", "the field that names the class")
    if labels.dtype.kind == "T":  # strings of variable length
        labels = labels.astype(object)
    _refuse_missing(labels)
    return _objects_as_numbers(labels) if labels.dtype.kind == "O" else labels


def is_missing(label: object) -> bool:
    """Return whether a label is None, NaN, NaT or NA: such a label equals none."""
    if label is None:
        return True
    try:
        return bool(label != label)
    except (TypeError, ValueError):  # NA of pandas is neither equal nor different
        return type(label).__name__ == "NAType"


def _objects_as_numbers(labels: np.ndarray) -> np.ndarray:
    """Return an array of objects in the dtype of its numbers; strings stay objects.

    Raise ValueError for objects that are neither, and for numbers without a dtype.
    """
    values = labels.ravel().tolist()
    _refuse_odd_types(values)
    if not values or isinstance(values[0], str):
        return labels
    numbers = np.array(values)
    if numbers.dtype.kind not in "biufmM" or numbers.tolist() != values:
        _refuse("numbers that no dtype of NumPy holds exactly", _TO_STRINGS)
    return numbers.reshape(labels.shape)


def _refuse_odd_types(labels: list) -> None:
    """Raise ValueError unless labels are all numbers, or all strings, or missing."""
    examples = {type(label): label for label in labels}
    examples = {t: label for t, label in examples.items() if not is_missing(label)}
    for kind, label in examples.items():
        if not _is_plain(label):
            what = f"labels of type {kind.__name__}, such as {label!r}"
            _refuse(what, _remedy(label))
    strings = [label for label in examples.values() if isinstance(label, str)]
    others = [label for label in examples.values() if not isinstance(label, str)]
    if strings and others:
        what = f"both strings and others, such as {strings[0]!r} and {others[0]!r}"
        _refuse(what, _TO_STRINGS)


def _is_plain(label: object) -> bool:
    """Return whether a label is a number, a string, or something of NumPy or torch."""
    if isinstance(label, bytes):
        return False
    return isinstance(label, (str, int, float)) or hasattr(label, "dtype")


def _remedy(label: object) -> str:
    """Return code that makes strings of labels like this one."""
    if isinstance(label, Enum):
        return "[label.name for label in y]"
    if isinstance(label, (bytes, bytearray)):
        return "[label.decode() for label in y]"
    return _TO_STRINGS


def _refuse(what: str, remedy: str) -> None:
    """Raise ValueError: labels of this kind cannot name classes."""
    raise ValueError(
        f"y holds {what}, which cannot name classes. Make all labels strings, or all "
        f"of them numbers, such as {remedy}."
    )


def _refuse_columns(y: ArrayLike, labels: np.ndarray) -> None:
    """Raise ValueError for several columns; say what to do if they add up to 1."""
    try:
        values = labels.astype(np.float64)
    except (TypeError, ValueError):
        values = np.full(labels.shape, np.nan)
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 1):
        best = "y.idxmax(axis=1)" if hasattr(y, "idxmax") else "np.argmax(y, axis=1)"
        best = "y.toarray().argmax(axis=1)" if issparse(y) else best
        raise ValueError(
            f"y should be a 1d array, got an array of shape {labels.shape} instead. It "
            f"looks one-hot, or like probabilities: pass {best}."
        )
    raise ValueError(
        f"y has shape {labels.shape}, but each sample must have one class: the loss "
        "makes the probabilities of the classes uniform, and with several labels at "
        "once these do not sum to 1. Train one classifier for each label, with "
        "sklearn.multioutput.MultiOutputClassifier."
    )


def _refuse_missing(labels: np.ndarray | list) -> None:
    """Raise ValueError if labels are missing; say how many, and where."""
    labels = labels.ravel() if isinstance(labels, np.ndarray) else labels
    if isinstance(labels, list | tuple) or labels.dtype.kind == "O":
        missing = np.array([is_missing(label) for label in labels], dtype=bool)
    else:
        missing = labels != labels
    if missing.any():
        first = int(np.argmax(missing))
        raise ValueError(
            f"Input y contains NaN: {missing.sum()} of {missing.size} labels are "
            f"missing, the first ({labels[first]}) at position {first}. Drop these "
            "rows, or give them a label, such as y.fillna('unknown') in pandas."
        )
