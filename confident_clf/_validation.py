# SPDX-License-Identifier: BSD-3-Clause
"""Samples to validate on in `fit`: given by the user, or held back."""

import math
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from confident_clf._samples import check_others, encode_labels
from confident_clf.utils._label_kinds import plain_labels
from confident_clf.utils._labels import is_ood_label
from confident_clf.utils._rare import keep_classes


class Validation(NamedTuple):
    """What `fit` gets to validate on: samples with labels, or groups of its rows."""

    X_val: Any = None
    y_val: Any = None
    groups: Any = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Return those that were given, by name."""
        return {name: v for name, v in self._asdict().items() if v is not None}


NOTHING = Validation()


def check_validation(estimator, validation: Validation, y: np.ndarray) -> Validation:
    """Return samples, numbers of their classes, and groups without those of OOD rows.

    `y` holds the labels of X, with those of OOD rows. Raise ValueError if something is
    missing, given in vain, or not like X and y.
    """
    X_val, y_val, groups = validation
    if (X_val is None) != (y_val is None):
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(f"X_val and y_val go together: {missing} is missing.")
    if groups is not None:
        groups = _check_groups(estimator, groups, y, X_val)
    if X_val is not None:
        X_val, y_val = _check_samples(estimator, X_val, y_val)
    return Validation(X_val, y_val, groups)


def _check_groups(estimator, groups, y: np.ndarray, X_val) -> np.ndarray:
    """Return the groups of the rows that are not OOD."""
    if X_val is not None or not estimator.early_stopping:
        why = "X_val is given" if X_val is not None else "early_stopping is False"
        raise ValueError(
            f"groups say which rows early stopping must hold back together, but {why}, "
            "so no rows are held back. Leave groups out, or set early_stopping=True "
            "without X_val."
        )
    groups = column_or_1d(groups)
    check_consistent_length(y, groups)
    return groups[~is_ood_label(y, estimator.ood_label)]


def _check_samples(estimator, X_val, y_val) -> tuple[np.ndarray, np.ndarray]:
    """Return validation samples of classes, and the numbers of their classes."""
    X_val = check_others(estimator, X_val, "X_val")
    y_val = column_or_1d(plain_labels(y_val), warn=True)
    check_consistent_length(X_val, y_val)
    known = ~is_ood_label(y_val, estimator.ood_label)
    if not known.any():
        raise ValueError("X_val has no sample of a class. Pass some, or leave it out.")
    return X_val[known], encode_labels(y_val[known], estimator.classes_, "y_val")


def hold_back(
    y: np.ndarray, validation_fraction: float, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train and to validate on: a share of each class, or of groups.

    A class with one row is trained on. Raise ValueError if there are too few rows, or
    too few groups.
    """
    if groups is not None:
        return _hold_back_groups(y, validation_fraction, groups)
    counts = np.bincount(y)
    is_rare = counts[y] < 2
    rows, rare = np.flatnonzero(~is_rare), np.flatnonzero(is_rare)
    n_classes = int(np.sum(counts >= 2))
    n_valid = math.ceil(validation_fraction * len(y))
    n_train = len(rows) - n_valid
    if min(n_valid, n_train) < max(n_classes, 1):
        raise ValueError(
            f"early_stopping with validation_fraction={validation_fraction} would "
            f"train on {max(n_train, 0)} samples and validate on {n_valid}, of "
            f"{n_classes} classes with two rows or more. Both parts need a sample of "
            "each: use more samples, pass X_val and y_val, or set "
            "early_stopping=False."
        )
    train, valid = train_test_split(rows, test_size=n_valid, stratify=y[rows])
    return keep_classes(np.append(train, rare), valid, y)


def _hold_back_groups(
    y: np.ndarray, validation_fraction: float, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on, which have all classes, and a share of groups."""
    names, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((y.max() + 1, len(names)), dtype=np.intp)
    np.add.at(counts, (y, group_of), 1)
    remaining = counts.sum(axis=1)
    remaining, counts = remaining[remaining > 0], counts[remaining > 0]
    chosen: list[int] = []
    n_wanted = math.ceil(validation_fraction * len(names))
    for group in check_random_state(None).permutation(len(names)):
        if len(chosen) < n_wanted and (remaining > counts[:, group]).all():
            chosen.append(group)
            remaining = remaining - counts[:, group]
    if not chosen:
        raise ValueError(
            f"early_stopping with validation_fraction={validation_fraction} can hold "
            f"back none of the {len(names)} groups, because the others would lack a "
            "class. Use more groups, pass X_val and y_val, or set early_stopping=False."
        )
    is_valid = np.isin(group_of, chosen)
    return np.flatnonzero(~is_valid), np.flatnonzero(is_valid)
