# SPDX-License-Identifier: BSD-3-Clause
"""Labels: which ones name classes, and which mark out-of-distribution (OOD) rows."""

import warnings
from datetime import date, timedelta
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from confident_clf.utils._label_kinds import is_missing, plain_labels
from confident_clf.utils._params import params_named

# The Python type of each kind of labels, and the dtypes that hold nothing else.
_KINDS = {"numbers": (Number, "biuf"), "strings": (str, "UT"), "bytes": (bytes, "S")}
_DATES = (np.datetime64, np.timedelta64, date, timedelta)
_ONE = {"numbers": "a number", "strings": "a string", "bytes": "bytes"}


def check_class_labels(y: np.ndarray) -> None:
    """Raise ValueError if the labels cannot name classes."""
    try:
        check_classification_targets(y)
    except TypeError as error:
        raise ValueError(
            f"y holds labels that cannot be sorted: {error}. Make all of them strings, "
            "or all of them numbers."
        ) from error


def check_labels(y: Any) -> np.ndarray:
    """Return class labels as a vector; raise ValueError if they cannot name classes."""
    y = column_or_1d(plain_labels(y), warn=True)
    assert_all_finite(y, input_name="y")
    check_class_labels(y)
    return y


def check_can_equal(name: str, label: object) -> None:
    """Raise ValueError if no label can equal this one, which parameter `name` holds."""
    if is_missing(label):
        raise ValueError(
            f"{name}={label!r} equals no label, not even itself. Give such samples a "
            "label that exists, such as y.fillna('unknown') in pandas, and pass that "
            f"as {name}."
        )
    if _kind_of(label) is None and not isinstance(label, _DATES):
        raise ValueError(
            f"{name}={label!r} is a {type(label).__name__}, and labels are numbers or "
            f"strings. Pass a number or a string as {name}."
        )


def check_same_kind(name: str, label: object, y: np.ndarray) -> None:
    """Raise ValueError if a label is a number but those in y strings, or the reverse.

    No label in y can then equal it, and one array cannot hold both. `name` is the
    parameter that holds the label.
    """
    kind, kind_of_y = _kind_of(label), _kind_of_all(y)
    if kind and kind_of_y and kind != kind_of_y:
        raise ValueError(
            f"{name}={label!r} is {_ONE[kind]}, but the labels are {kind_of_y}, such "
            f"as {y[:1].tolist()[0]!r}. Pass {_ONE[kind_of_y]} as {name}, or change "
            "the labels."
        )


def _kind_of(label: object) -> str | None:
    """Return "numbers", "strings" or "bytes"; None if the label is something else."""
    for kind, (python_type, _) in _KINDS.items():
        if isinstance(label, python_type):
            return kind
    return None


def _kind_of_all(y: np.ndarray) -> str | None:
    """Return the kind that all labels share; None if there is no such kind."""
    if y.dtype.kind == "O":
        kinds = set(map(_kind_of, y))
        return kinds.pop() if len(kinds) == 1 else None
    for kind, (_, dtypes) in _KINDS.items():
        if len(y) and y.dtype.kind in dtypes:
            return kind
    return None


def is_ood_label(y: np.ndarray, ood_label: Any) -> np.ndarray:
    """Return which labels equal the label of OOD rows; none do if it is None.

    Raise ValueError if `ood_label` is not one label, is missing itself, or of another
    kind than y.
    """
    if np.ndim(ood_label) != 0:
        raise ValueError(
            f"ood_label must be one label; got {ood_label!r}. Give all out-of-"
            "distribution rows the same label."
        )
    if ood_label is None:
        return np.zeros(len(y), dtype=bool)
    check_can_equal("ood_label", ood_label)
    check_same_kind("ood_label", ood_label, y)
    with warnings.catch_warnings():
        # NumPy 1 warns when other kinds are compared with a string.
        warnings.simplefilter("ignore", FutureWarning)
        return np.broadcast_to(np.asarray(y == ood_label, dtype=bool), len(y))


def common_dtype(classes: np.ndarray, label: object) -> np.dtype | None:
    """Return a dtype that holds the classes and another label exactly, or None.

    NumPy's common type of uint64 and int64 is a float: it makes 1.0 of the label 1, and
    rounds large integers.
    """
    other = np.array([label])
    dtype = np.result_type(classes, other)
    if {classes.dtype.kind, other.dtype.kind} <= set("iu") and dtype.kind == "f":
        dtype = np.dtype(np.int64)
    values = [*classes.tolist(), label]
    try:
        held = np.array(values, dtype=dtype).tolist()
    except OverflowError:
        return None
    pairs = zip(held, values, strict=True)
    return dtype if all(a == b or (a != a and b != b) for a, b in pairs) else None


def is_known(estimator: BaseEstimator, y: ArrayLike | None, n: int) -> np.ndarray:
    """Return which of n rows have a label that the fitted estimator has as a class.

    All rows do if there are no labels, or if the estimator has no ``classes_``.
    """
    if y is None or not hasattr(estimator, "classes_"):
        return np.ones(n, dtype=bool)
    return np.isin(np.ravel(y), estimator.classes_)


def labels_to_learn(estimator: BaseEstimator, y: ArrayLike) -> np.ndarray:
    """Return the sorted labels that an estimator will learn as classes when fitted.

    Labels equal to a parameter `ood_label`, of the estimator or of one inside it, are
    not learnt.
    """
    y = np.ravel(y)
    check_class_labels(y)
    labels = unique_labels(y)
    for ood_label in params_named(estimator, "ood_label").values():
        labels = labels[~is_ood_label(labels, ood_label)]
    return labels


def class_index(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the index of each label in `classes`, which may be in any order.

    Every label must be one of the classes.
    """
    order = np.argsort(classes)
    return order[np.searchsorted(classes, labels, sorter=order)]
