# SPDX-License-Identifier: BSD-3-Clause
"""Splitters that put out-of-distribution (OOD) rows into the test part only.

For scorers made by :func:`confident_clf.metrics.make_ood_scorer`, a row is OOD if its
label is not a class of the estimator. These splits make sure of that.
"""

from collections.abc import Iterator
from math import ceil
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import (
    BaseCrossValidator,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.utils import check_random_state, column_or_1d

from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._labels import class_index, is_ood_label
from confident_clf.utils._types import RandomState, SamplesLike


class OODKFold(StratifiedKFold):
    """Stratified folds in which OOD rows are tested but never trained on.

    Every row is in the test part of one fold. The training part of a fold has all other
    rows, except the rows labelled `ood_label`.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    ood_label : int, float or str, default=-1
        Label of the OOD rows.
    shuffle : bool, default=False
        Whether to shuffle the rows of each class before they are split.
    random_state : int, RandomState instance or None, default=None
        Draws the order, with ``shuffle=True``.

    See Also
    --------
    LeaveClassesOut : Needs no OOD rows.

    Notes
    -----
    A search with ``refit=True`` fits its best estimator on all rows, including OOD
    rows. A :class:`~confident_clf.ConfidentClassifier` with the same `ood_label` leaves
    them out or learns to be unsure of them, depending on its `ood_source`. Any other
    estimator would learn `ood_label` as a class, so search with ``refit=False``.

    The training parts cannot be scored. Use ``return_train_score=False``, which is not
    the default of :class:`~sklearn.model_selection.HalvingGridSearchCV`.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.model_selection import OODKFold
    >>> X, y = np.zeros((8, 1)), [0, 0, 0, 1, 1, 1, -1, -1]
    >>> for train, test in OODKFold(n_splits=2).split(X, y):
    ...     print(train, test)
    [2 4 5] [0 1 3 6]
    [0 1 3] [2 4 5 7]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        ood_label: Any = -1,
        shuffle: bool = False,
        random_state: RandomState = None,
    ):
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)
        self.ood_label = ood_label

    def split(
        self, X: SamplesLike, y: ArrayLike, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row numbers of the training and test part of each fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples; only their number matters.
        y : array-like of shape (n_samples,)
            Labels.
        groups : None
            Ignored.

        Yields
        ------
        train : ndarray of int
            Rows of classes.
        test : ndarray of int
            Other rows of classes, and OOD rows.

        Raises
        ------
        ValueError
            If there are fewer OOD rows than folds.
        """
        is_ood = is_ood_label(to_numpy(column_or_1d(y)), self.ood_label)
        if is_ood.sum() < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need as many rows labelled "
                f"ood_label={self.ood_label!r}, one for each; y has {is_ood.sum()}. "
                "Use fewer folds, label more rows, or hold out classes with "
                "LeaveClassesOut."
            )
        for train, test in super().split(X, y):
            yield train[~is_ood[train]], test


class LeaveClassesOut(BaseCrossValidator):
    """Splits that hold out some classes in turn, as stand-ins for OOD samples.

    In each split, some classes are left out of training. All their rows are for
    testing, together with a share of the rows of every other class. So you can choose
    settings of out-of-distribution detection without OOD samples: by how well a
    classifier that knows some classes refuses the others.

    Parameters
    ----------
    n_held_out : int, default=1
        Number of classes to hold out at once. At least two classes must remain.
    n_splits : int or None, default=None
        Number of splits. None means as many as needed to hold out every class.
    test_size : float, default=0.2
        Share of the rows of each known class to test on, between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Draws the order in which classes are held out, and the rows to test on. Pass an
        int if a search needs the same splits each time.

    See Also
    --------
    OODKFold : For OOD rows that you have.
    confident_clf.metrics.make_ood_scorer : Scores these splits. A held-out class is not
        a class of the estimator, so its rows are OOD.

    Notes
    -----
    The classes are put in a random order, which repeats after the last one. With
    classes a, b, c, d, e and ``n_held_out=2`` the splits may hold out c and a, then e
    and d, then b and again c.

    Plain accuracy counts the held-out rows as errors; use
    :func:`~confident_clf.metrics.id_accuracy_scorer` instead. The training parts cannot
    be scored. Use ``return_train_score=False``, which is not the default of
    :class:`~sklearn.model_selection.HalvingGridSearchCV`.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.model_selection import LeaveClassesOut
    >>> X, y = np.zeros((12, 1)), np.repeat(["cat", "cow", "dog"], 4)
    >>> cv = LeaveClassesOut(test_size=0.25, random_state=0)
    >>> cv.get_n_splits(X, y)
    3
    >>> train, test = next(cv.split(X, y))
    >>> y[train].tolist()
    ['cat', 'cat', 'cat', 'cow', 'cow', 'cow']
    >>> y[test].tolist()
    ['cat', 'cow', 'dog', 'dog', 'dog', 'dog']
    """

    def __init__(
        self,
        n_held_out: int = 1,
        *,
        n_splits: int | None = None,
        test_size: float = 0.2,
        random_state: RandomState = None,
    ):
        self.n_held_out = n_held_out
        self.n_splits = n_splits
        self.test_size = test_size
        self.random_state = random_state

    def get_n_splits(
        self,
        X: SamplesLike | None = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X : object, default=None
            Ignored.
        y : array-like of shape (n_samples,) or None, default=None
            Labels; needed if ``n_splits=None``.
        groups : object, default=None
            Ignored.

        Returns
        -------
        int
            The number of splits.
        """
        self._check_numbers()
        if self.n_splits is not None:
            return self.n_splits
        if y is None:
            raise ValueError(
                "n_splits=None means as many splits as needed to hold out every class, "
                "which depends on y. Pass y, or set n_splits."
            )
        return ceil(len(np.unique(to_numpy(column_or_1d(y)))) / self.n_held_out)

    def split(
        self, X: SamplesLike, y: ArrayLike, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row numbers of the training and test part of each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples; only their number matters.
        y : array-like of shape (n_samples,)
            Labels.
        groups : None
            Ignored.

        Yields
        ------
        train : ndarray of int
            Rows of the known classes.
        test : ndarray of int
            Other rows of the known classes, and all rows of the held-out classes.

        Raises
        ------
        ValueError
            If there are too few classes, or if a class has too few rows to split.
        """
        y, n_splits = to_numpy(column_or_1d(y)), self.get_n_splits(X, y)
        classes, counts = np.unique(y, return_counts=True)
        self._check(classes, counts)
        rng = check_random_state(self.random_state)
        order = rng.permutation(len(classes))
        code = class_index(classes, y)
        for i in range(n_splits):
            places = np.arange(i * self.n_held_out, (i + 1) * self.n_held_out)
            is_out = np.isin(code, order[places % len(classes)])
            known, out = np.flatnonzero(~is_out), np.flatnonzero(is_out)
            share = StratifiedShuffleSplit(
                1, test_size=self.test_size, random_state=rng.randint(2**31 - 1)
            )
            train, test = next(share.split(known, y[known]))
            yield np.sort(known[train]), np.sort(np.append(known[test], out))

    def _check(self, classes: np.ndarray, counts: np.ndarray) -> None:
        """Raise ValueError if the parameters do not suit the classes."""
        n_known = len(classes) - self.n_held_out
        if n_known < 2:
            raise ValueError(
                f"n_held_out={self.n_held_out} of {len(classes)} classes would leave "
                f"{max(n_known, 0)} to train on, but two are needed. Hold out at most "
                f"{max(len(classes) - 2, 0)}."
            )
        if counts.min() < 2:
            label = classes.tolist()[counts.argmin()]
            raise ValueError(
                f"Class {label!r} has {counts.min()} row, too few to train and to test "
                "on. Every class needs 2 rows or more."
            )

    def _check_numbers(self) -> None:
        """Raise ValueError unless the numbers are integers of at least 1."""
        for name in ("n_held_out", "n_splits"):
            value = getattr(self, name)
            optional = value is None and name == "n_splits"
            if not optional and not (isinstance(value, Integral) and int(value) >= 1):
                raise ValueError(
                    f"{name} must be an integer of at least 1; got {value!r}."
                )
