# SPDX-License-Identifier: BSD-3-Clause
"""Turn a table with classes into known rows, and one unknown set for each class."""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch


def hold_out(X, y, names, unknown, test_size, random_state) -> Bunch:
    """Return rows of known classes to train and test on, and unknown classes apart.

    `names` are the names of the classes, in sorted order.
    """
    y = np.asarray(y)
    classes = np.unique(y)
    is_unknown = _unknown_classes(classes, unknown)
    rows = ~np.isin(y, classes[is_unknown])
    names = np.asarray(names)
    bunch = split(X[rows], y[rows], test_size, random_state)
    bunch.X_ood = {
        str(name): X[y == label]
        for name, label in zip(names[is_unknown], classes[is_unknown], strict=True)
    }
    bunch.target_names = names[~is_unknown]
    return bunch


def split(X, y, test_size, random_state) -> Bunch:
    """Return a share of each class to test on, and the other rows to train on."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=test_size, random_state=random_state, stratify=y
    )
    return Bunch(X_train=X_train, y_train=y_train, X_test=X_test, y_test=y_test)


def _unknown_classes(classes, unknown):
    """Return which classes are unknown; at least one is, and two are not."""
    wanted = [unknown] if isinstance(unknown, str) else np.atleast_1d(unknown).tolist()
    labels = classes.tolist()
    missing = [label for label in wanted if label not in labels]
    if missing:
        raise ValueError(
            f"unknown={unknown!r} names {missing[0]!r}, which is not a class. The "
            f"classes are {labels}."
        )
    is_unknown = np.array([label in wanted for label in labels])
    if not wanted or (~is_unknown).sum() < 2:
        raise ValueError(
            f"unknown={unknown!r} leaves {(~is_unknown).sum()} of {len(labels)} "
            "classes known. Name at least one class, and leave at least two."
        )
    return is_unknown
