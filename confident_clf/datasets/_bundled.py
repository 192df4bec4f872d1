# SPDX-License-Identifier: BSD-3-Clause
"""Tables that come with scikit-learn, with classes held out."""

from collections.abc import Sequence

import numpy as np
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.utils import Bunch

from confident_clf.datasets._held_out import hold_out


def load_digits_ood(
    *,
    unknown: int | Sequence[int] = (5, 6, 7, 8, 9),
    images: bool = False,
    test_size: float | int = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Load scikit-learn's digits, some of them as unknown.

    1,797 images of 8x8 pixels, scaled to [0, 1].

    Parameters
    ----------
    unknown : int or sequence of int, default=(5, 6, 7, 8, 9)
        Digits to hold out. At least two must remain.
    images : bool, default=False
        Whether to return images of shape (n, 1, 8, 8) instead of rows of 64 pixels.
    test_size : float or int, default=0.25
        Share or number of the known samples to test on.
    random_state : int, RandomState instance or None, default=None
        Draws the samples to test on.

    Returns
    -------
    Bunch
        ``X_train``, ``y_train``, ``X_test`` and ``y_test`` have the known digits,
        ``X_ood`` is a dict from the name of each unknown digit to its samples, and
        ``target_names`` are the names of the known digits.

    See Also
    --------
    load_iris_ood : Flowers.
    load_wine_ood : Wines.

    Examples
    --------
    >>> from confident_clf.datasets import load_digits_ood
    >>> digits = load_digits_ood(unknown=[8, 9], random_state=0)
    >>> digits.X_train.shape, digits.X_test.shape
    ((1082, 64), (361, 64))
    >>> {name: X.shape for name, X in digits.X_ood.items()}
    {'8': (174, 64), '9': (180, 64)}
    """
    table = load_digits()
    X = table.images[:, None] if images else table.data
    names = table.target_names.astype(str)
    return hold_out(X / 16, table.target, names, unknown, test_size, random_state)


def load_iris_ood(
    *,
    unknown: int | Sequence[int] = 2,
    as_frame: bool = False,
    test_size: float | int = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Load scikit-learn's iris flowers, one class of them as unknown.

    150 rows of four lengths in cm. Class 2 (virginica) is close to class 1.

    Parameters
    ----------
    unknown : int, default=2
        The class to hold out: 0 (setosa), 1 (versicolor) or 2 (virginica).
    as_frame : bool, default=False
        Whether the rows are DataFrames, which needs pandas.
    test_size : float or int, default=0.25
        Share or number of the known rows to test on.
    random_state : int, RandomState instance or None, default=None
        Draws the rows to test on.

    Returns
    -------
    Bunch
        ``X_train``, ``y_train``, ``X_test`` and ``y_test`` have the known classes,
        ``X_ood`` is a dict from the name of the unknown class to its rows,
        ``target_names`` are the names of the known classes, and ``feature_names`` those
        of the columns.

    See Also
    --------
    load_wine_ood : Wines, whose columns have very different units.

    Examples
    --------
    >>> from confident_clf.datasets import load_iris_ood
    >>> iris = load_iris_ood(random_state=0)
    >>> iris.X_train.shape, iris.target_names.tolist()
    ((75, 4), ['setosa', 'versicolor'])
    >>> {name: X.shape for name, X in iris.X_ood.items()}
    {'virginica': (50, 4)}
    """
    return _table(load_iris, unknown, as_frame, test_size, random_state)


def load_wine_ood(
    *,
    unknown: int | Sequence[int] = 2,
    as_frame: bool = False,
    test_size: float | int = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Load scikit-learn's wines, one class of them as unknown.

    178 rows of 13 measurements in very different units, so scale them.

    Parameters
    ----------
    unknown : int, default=2
        The class to hold out: 0, 1 or 2.
    as_frame : bool, default=False
        Whether the rows are DataFrames, which needs pandas.
    test_size : float or int, default=0.25
        Share or number of the known rows to test on.
    random_state : int, RandomState instance or None, default=None
        Draws the rows to test on.

    Returns
    -------
    Bunch
        As from :func:`load_iris_ood`.

    See Also
    --------
    load_iris_ood : Flowers.

    Examples
    --------
    >>> from confident_clf.datasets import load_wine_ood
    >>> wine = load_wine_ood(random_state=0)
    >>> wine.X_train.shape, wine.target_names.tolist()
    ((97, 13), ['class_0', 'class_1'])
    >>> {name: X.shape for name, X in wine.X_ood.items()}
    {'class_2': (48, 13)}
    """
    return _table(load_wine, unknown, as_frame, test_size, random_state)


def _table(load, unknown, as_frame, test_size, random_state) -> Bunch:
    """Return a table of scikit-learn's with a class held out."""
    table = load(as_frame=as_frame)
    X, names = table.data, table.target_names
    bunch = hold_out(X, table.target, names, unknown, test_size, random_state)
    bunch.feature_names = table.feature_names
    return bunch
