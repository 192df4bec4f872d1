# SPDX-License-Identifier: BSD-3-Clause
"""Labels: which ones name classes, and which mark out-of-distribution (OOD) rows."""

import warnings
from numbers import Number

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from confident_clf.utils._params import params_named

# The Python type of each kind of labels, and the dtypes that hold nothing else.
_KINDS = {"numbers": (Number, "biuf"), "strings": (str, "UT"), "bytes": (bytes, "S")}
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


def check_one_label_each(y: ArrayLike) -> None:
    """Raise ValueError if the samples have several labels each."""
    try:
        shape = np.shape(y)
    except ValueError:
        return  # lists of many lengths: scikit-learn's validation says so
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"y has shape {shape}, but each sample must have one class: the loss makes "
            "the probabilities of the classes uniform, and with several labels at once "
            "these do not sum to 1. Train one classifier for each label, with "
            "sklearn.multioutput.MultiOutputClassifier."
        )


def check_labels(y: ArrayLike) -> np.ndarray:
    """Return class labels as a vector; raise ValueError if they cannot name classes."""
    check_one_label_each(y)
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_class_labels(y)
    return y


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


def is_ood_label(y: np.ndarray, ood_label: object) -> np.ndarray:
    """Return which labels equal the label of OOD rows; none do if it is None.

    Raise ValueError if `ood_label` is not one label, or of another kind than y.
    """
    if np.ndim(ood_label) != 0:
        raise ValueError(
            f"ood_label must be one label; got {ood_label!r}. Give all out-of-"
            "distribution rows the same label."
        )
    if ood_label is None:
        return np.zeros(len(y), dtype=bool)
    check_same_kind("ood_label", ood_label, y)
    with warnings.catch_warnings():
        # NumPy 1 warns when other kinds are compared with a string.
        warnings.simplefilter("ignore", FutureWarning)
        return np.broadcast_to(np.asarray(y == ood_label, dtype=bool), len(y))


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
