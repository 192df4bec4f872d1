# SPDX-License-Identifier: BSD-3-Clause
"""Scores of features, the inputs of a network's last linear layer."""

import warnings
from abc import abstractmethod
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from confident_clf.scores._score import OODScore
from confident_clf.utils._sklearn import Interval, StrOptions


class FeatureScore(OODScore):
    """A score of features, fitted on the features of the training samples."""

    needs_fit = True

    def check(self, network: Any, X: np.ndarray) -> None:
        """Raise ValueError if the network has no last linear layer."""
        network.features(X)

    def fit(self, network: Any, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from the features of the training samples."""
        return self.fit_rows(network, X, y, slice(None))

    def fit_rows(
        self, network: Any, X: np.ndarray, y: np.ndarray, rows: np.ndarray | slice
    ) -> Self:
        """Learn from the features of some of the training samples."""
        self._learn(network.features(X)[rows], y[rows])
        return self

    def ood_score(self, network: Any, X: np.ndarray) -> np.ndarray:
        """Return the score of each sample's features."""
        check_is_fitted(self)
        return self.of_features(network.features(X))

    @abstractmethod
    def _learn(self, features: np.ndarray, y: np.ndarray) -> None:
        """Set the fitted attributes."""

    @abstractmethod
    def of_features(self, features: np.ndarray) -> np.ndarray:
        """Return the score of each row of features."""


def knn(
    features: ArrayLike, train_features: ArrayLike, n_neighbors: int = 50
) -> np.ndarray:
    """Score by the distance to the k-th nearest training sample.

    Introduced in [1]_. With z = f / norm(f) for the features f of a sample, and z_(k)
    the k-th nearest to it among the training samples, the score is::

        norm(z - z_(k)).

    Features are divided by their length, so only their directions are compared.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    train_features : array-like of shape (n_train, n_features)
        Features of the training samples.
    n_neighbors : int, default=50
        Which neighbour, k. With fewer training samples, the farthest one.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and 2, higher for out-of-distribution.

    References
    ----------
    .. [1] Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest
       Neighbors", ICML 2022, section 3.

    Examples
    --------
    >>> from confident_clf.scores import knn
    >>> knn([[2.0, 0.0], [0.0, 5.0]], [[1.0, 0.0], [3.0, 0.0]], 2).round(3).tolist()
    [0.0, 1.414]
    """
    train = _directions(train_features)
    return _kth_distance(_directions(features), train, n_neighbors)


def _directions(features: ArrayLike) -> np.ndarray:
    """Return features divided by their length; zeros stay zeros."""
    features = np.asarray(features, dtype=np.float64)
    # scikit-learn's normalize gives the same bits, but takes longer for one row.
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features))
    return features / np.where(lengths == 0, 1, lengths)[:, np.newaxis]


# How many distances to hold at once.
_MOST_AT_ONCE = 2**20


def _kth_distance(rows: np.ndarray, train: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the distance of each row to its k-th nearest training row."""
    kth = np.empty(len(rows), np.intp)
    # Half of the squared distance, up to a term of the row. In many dimensions a tree
    # is slower than a matrix product, and scikit-learn's search takes a millisecond for
    # one row.
    halves = np.einsum("ij,ij->i", train, train) / 2
    nth, size = min(n_neighbors, len(train)) - 1, max(1, _MOST_AT_ONCE // len(train))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        distances = halves - rows[part] @ train.T
        kth[part] = np.argpartition(distances, nth, axis=1)[:, nth]
    # Small distances are differences of large products. That rounds by 1e-8, and
    # differently in every batch, so the distances are computed again.
    return np.linalg.norm(rows - train[kth], axis=1)


def _some_of_each(y: np.ndarray, n: int) -> np.ndarray:
    """Return the indices of `n` rows or fewer, at most as many of each class."""
    order = np.random.RandomState(0).permutation(len(y))
    classes = np.unique(y)
    share = max(1, n // len(classes))
    parts = [order[y[order] == label][:share] for label in classes]
    return np.sort(np.concatenate(parts))


# As in the paper of the score.
_MOST_NEIGHBORS = 50


class KNN(FeatureScore):
    """Distance to the k-th nearest training sample in feature space.

    Introduced in [1]_. With z = f / norm(f) for the features f of a sample, and z_(k)
    the k-th nearest to it among the training samples, the score is::

        norm(z - z_(k)).

    See :func:`knn`. Stores the features of the training samples, or of a part of them.

    Parameters
    ----------
    n_neighbors : int or "auto", default="auto"
        Which neighbour, k. "auto" is a hundredth of the rows of the smallest class, at
        least 1 and at most 50. That gives the 50 of [1]_ for the 5,000 images of a
        class of CIFAR-10. If a class has no more than k rows, the neighbours of its own
        samples are in other classes; k is then lowered to that of "auto", with a
        warning.
    n_samples : int or None, default=None
        How many training samples to keep at most, as many of each class, drawn at
        random. The time to score a sample grows with this number. None means all.

    Attributes
    ----------
    n_neighbors_ : int
        The k that is used.
    directions_ : ndarray of shape (n_train, n_features)
        Features of the training samples, divided by their length.

    References
    ----------
    .. [1] Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest
       Neighbors", ICML 2022, section 3.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import KNN
    >>> clf = ConfidentClassifier(method=KNN(n_neighbors=10))
    """

    _parameter_constraints: dict = {
        "n_neighbors": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self, *, n_neighbors: int | str = "auto", n_samples: int | None = None
    ):
        self.n_neighbors = n_neighbors
        self.n_samples = n_samples

    def _learn(self, features: np.ndarray, y: np.ndarray) -> None:
        if self.n_samples is not None and self.n_samples < len(y):
            rows = _some_of_each(y, self.n_samples)
            features, y = features[rows], y[rows]
        self.directions_ = _directions(features)
        self.n_neighbors_ = self._choose_neighbors(y)

    def _choose_neighbors(self, y: np.ndarray) -> int:
        """Return the k to use for training samples with the labels y."""
        smallest = int(np.unique(y, return_counts=True)[1].min())
        automatic = min(max(1, smallest // 100), _MOST_NEIGHBORS)
        if isinstance(self.n_neighbors, str):
            return automatic
        if self.n_neighbors < max(smallest, 2):
            return self.n_neighbors
        warnings.warn(
            f"n_neighbors={self.n_neighbors} of KNN is not less than the {smallest} "
            "rows of the smallest class, so the distance of its own samples would "
            f"reach into other classes. {automatic} is used. Set n_neighbors='auto', "
            "or a smaller number.",
            UserWarning,
            stacklevel=2,
        )
        return automatic

    def of_features(self, features: np.ndarray) -> np.ndarray:
        k = neighbors_used(self)
        return _kth_distance(_directions(features), self.directions_, k)


def neighbors_used(score: KNN) -> int:
    """Return which neighbour a fitted score looks at."""
    # Files of earlier versions have the parameter only; its default was 50.
    k = getattr(score, "n_neighbors_", score.n_neighbors)
    return _MOST_NEIGHBORS if isinstance(k, str) else k
