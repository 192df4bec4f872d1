# SPDX-License-Identifier: BSD-3-Clause
"""The base classes of scores: OODScore and LogitScore."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from confident_clf.scores._logits import score_logits


class OODScore(ABC, BaseEstimator):
    """Base class of scores that tell how out-of-distribution a sample is.

    A score is a scikit-learn object. Its parameters can be cloned and searched, as
    ``method__n_neighbors`` of :class:`~confident_clf.ConfidentClassifier` or
    :class:`~confident_clf.OODDetector`. To write a score, store the constructor's
    parameters under their names and define :meth:`ood_score`. If the score has
    something to learn from the training samples, set ``needs_fit = True`` and define
    :meth:`fit`.

    Both methods get a view of the trained network:

    - ``network(X)`` returns its logits, float64: one column for each of the
      ``network.n_classes`` classes, and one more if the network has a reject logit.
    - ``network.features(X)`` returns the inputs of its last linear layer.
    - ``network.head(X)`` returns the weight and bias of that layer.
    - ``network.gradient(X, weights)`` returns the gradient with respect to X of the sum
      of each sample's logits times ``weights(logits)``.
    - ``network.batches(X)`` yields X in parts, as the network sees them, so that only
      one part has to be in memory.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import OODScore
    >>> class FeatureNorm(OODScore):
    ...     def ood_score(self, network, X):
    ...         return -(network.features(X) ** 2).sum(axis=1)
    >>> clf = ConfidentClassifier(method=FeatureNorm())
    """

    # Whether `fit` must see the training samples first.
    needs_fit = False

    def fit(self, network: Any, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from the training samples; does nothing here.

        Parameters
        ----------
        network : object
            View of the trained network.
        X : ndarray of shape (n_samples, ...), float32 or uint8
            Training samples, all in-distribution.
        y : ndarray of shape (n_samples,), int
            Their classes, counted from 0.

        Returns
        -------
        OODScore
            The fitted score.
        """
        return self

    def check(self, network: Any, X: np.ndarray) -> None:
        """Raise ValueError, before training, if the network lacks what the score needs.

        Parameters
        ----------
        network : object
            View of the network.
        X : ndarray of shape (n_samples, ...), float32 or uint8
            A few samples.
        """

    @abstractmethod
    def ood_score(self, network: Any, X: np.ndarray) -> np.ndarray:
        """Return the score of each sample.

        Parameters
        ----------
        network : object
            View of the trained network.
        X : ndarray of shape (n_samples, ...), float32 or uint8
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Higher for out-of-distribution.
        """


class LogitScore(OODScore):
    """Base class of scores that are computed from the logits alone.

    These also work for classifiers that are not networks, such as scikit-learn's: their
    log probabilities are logits. To write one, define :meth:`of_logits`.

    See Also
    --------
    GEN : An example with parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from confident_clf import OODDetector
    >>> from confident_clf.scores import LogitScore
    >>> class Spread(LogitScore):
    ...     def of_logits(self, logits, *, rejects=False):
    ...         return -np.std(logits, axis=1)
    >>> Spread().of_logits([[0.0, 0.0], [0.0, 5.0]]).tolist()
    [-0.0, -2.5]
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000)
    >>> detector = OODDetector(clf, method=Spread(), random_state=0).fit(X, y)
    >>> detector.predict(X[:3]).tolist()
    [1, 1, 1]
    """

    @abstractmethod
    def of_logits(self, logits: np.ndarray, *, rejects: bool = False) -> np.ndarray:
        """Return the score of each row of logits.

        Parameters
        ----------
        logits : array-like of shape (n_samples, n_classes)
            Logits. With `rejects`, there is one more column.
        rejects : bool, default=False
            Whether the last column is a reject logit, for "none of the classes".

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Higher for out-of-distribution.
        """

    def ood_score(self, network: Any, X: np.ndarray) -> np.ndarray:
        """Return the score of each sample's logits."""
        logits = network(X)
        return self.of_logits(logits, rejects=rejects(network, logits))


class NamedScore(LogitScore):
    """A score of logits without parameters, by its name in `LOGIT_SCORES`."""

    def __init__(self, name: str):
        self.name = name

    def of_logits(self, logits: np.ndarray, *, rejects: bool = False) -> np.ndarray:
        """Return the score of each row of logits."""
        return score_logits(logits, self.name, rejects=rejects)


def rejects(network: Any, logits: np.ndarray) -> bool:
    """Return whether a network has a reject logit: one logit more than classes."""
    return logits.shape[1] > network.n_classes
