# SPDX-License-Identifier: BSD-3-Clause
"""Some of the rows, and what belongs to them."""

import numpy as np
from sklearn.utils.multiclass import unique_labels

from confident_clf.utils._sklearn import _check_method_params
from confident_clf.utils._validation import check_class_labels, is_ood_label


def is_known(estimator, y, n):
    """Return which of n rows are not labelled as something else than a class.

    Parameters
    ----------
    estimator : estimator
        Fitted; all labels are known to one without ``classes_``.
    y : array-like of shape (n,) or None
        Labels; without them, all rows are known.
    n : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n,), bool
        True where the label is a class.
    """
    if y is None or not hasattr(estimator, "classes_"):
        return np.ones(n, dtype=bool)
    return np.isin(np.ravel(y), estimator.classes_)


def labels_to_learn(estimator, y):
    """Return the labels that an estimator not yet fitted will take for classes.

    Parameters
    ----------
    estimator : estimator
        Not fitted. Rows with the label of a parameter `ood_label`, its own or of an
        estimator inside it, are set aside.
    y : array-like of shape (n,)
        Labels.

    Returns
    -------
    ndarray of shape (n_classes,)
        The other labels, sorted.
    """
    y = np.ravel(y)
    check_class_labels(y)
    labels = unique_labels(y)
    for name, value in estimator.get_params().items():
        if name.split("__")[-1] == "ood_label":
            labels = labels[~is_ood_label(labels, value)]
    return labels


def class_index(classes, labels):
    """Return the place of each label among the classes.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        In any order.
    labels : ndarray of shape (n,)
        All of them among the classes.

    Returns
    -------
    ndarray of shape (n,), int
        ``classes[class_index(classes, labels)]`` are the labels.
    """
    order = np.argsort(classes)
    return order[np.searchsorted(classes, labels, sorter=order)]


def params_of_rows(X, params, rows):
    """Return the parameters of `fit` for some rows of X.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        All rows.
    params : dict
        Parameters of `fit`; those with n values are one per row, but for `X_ood`,
        whose samples are others even if they are as many.
    rows : ndarray of int
        Which rows.

    Returns
    -------
    dict
        The parameters.
    """
    whole = {name: value for name, value in params.items() if name.endswith("X_ood")}
    return _check_method_params(X, params, indices=rows) | whole
