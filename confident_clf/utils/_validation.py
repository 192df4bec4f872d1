# SPDX-License-Identifier: BSD-3-Clause
"""Checks of data that scikit-learn's own do not cover: images, labels of OOD rows."""

import warnings
from numbers import Number

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets


def check_class_labels(y):
    """Raise ValueError unless labels can be those of classes.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels of any kind.
    """
    try:
        check_classification_targets(y)
    except TypeError as error:
        raise ValueError(
            f"y holds labels that cannot be sorted: {error}. Make all of them strings, "
            "or all of them numbers."
        ) from error


def check_labels(y):
    """Return labels of classes as a vector, or raise ValueError.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels of any kind, but no real numbers.

    Returns
    -------
    ndarray of shape (n,)
        The labels.
    """
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_class_labels(y)
    return y


def is_ood_label(y, ood_label):
    """Return which labels are the out-of-distribution label.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels of any kind.
    ood_label : object or None
        None: no label is.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where a label equals `ood_label`.

    Raises
    ------
    ValueError
        If `ood_label` is not one label, or a number where the labels are strings, or a
        string where they are numbers.
    """
    if np.ndim(ood_label) != 0:
        raise ValueError(
            f"ood_label must be one label; got {ood_label!r}. Give all out-of-"
            "distribution rows the same label."
        )
    if ood_label is None:
        return np.zeros(len(y), dtype=bool)
    if is_other_kind(ood_label, y):
        is_number = isinstance(ood_label, Number)
        kind, kinds = ("a number", "strings") if is_number else ("a string", "numbers")
        raise ValueError(
            f"ood_label={ood_label!r} is {kind}, but the labels are {kinds}, such as "
            f"{y[:1].tolist()[0]!r}: no row can have it. Make both of one kind."
        )
    with warnings.catch_warnings():
        # NumPy 1 warns when other kinds are compared with a string.
        warnings.simplefilter("ignore", FutureWarning)
        return np.broadcast_to(np.asarray(y == ood_label, dtype=bool), len(y))


def is_other_kind(label, y):
    """Return whether a label is a number and those in y strings, or the reverse.

    Parameters
    ----------
    label : object
        A label.
    y : ndarray of shape (n,)
        Labels.

    Returns
    -------
    bool
        True if none of y, and there are some, can equal `label`.
    """
    if isinstance(label, Number):
        is_text = y.dtype.kind in "UST" or all(isinstance(each, str) for each in y)
        return len(y) > 0 and is_text
    return isinstance(label, (str, bytes)) and len(y) > 0 and y.dtype.kind in "biuf"
