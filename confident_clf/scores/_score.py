# SPDX-License-Identifier: BSD-3-Clause
"""What a score of a network is."""

from abc import ABC, abstractmethod

from sklearn.base import BaseEstimator

from confident_clf.scores._logits import score_logits


class OODScore(ABC, BaseEstimator):
    """How out-of-distribution a network finds a sample.

    A score is a scikit-learn object: its parameters can be cloned and searched, as
    ``method__n_neighbors`` of :class:`~confident_clf.ConfidentClassifier` or
    :class:`~confident_clf.OODDetector`. To write one, store the constructor's
    parameters under their names and define :meth:`ood_score`; if it has something to
    learn from the training samples, set ``needs_fit = True`` and define :meth:`fit`.

    Both get a view of the trained network: ``network(X)`` returns its outputs, float64,
    one column for each of the ``network.n_classes`` classes and one more where it
    rejects; ``network.features(X)`` what goes into its last linear layer;
    ``network.head(X)`` weight and bias of that layer; ``network.gradient(X, weights)``
    the gradient of the sum of each sample's outputs times ``weights(outputs)``;
    ``network.batches(X)`` parts of X as the network sees them, to hold few at once.

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

    def fit(self, network, X, y):
        """Learn from the training samples what is needed; here, nothing.

        Parameters
        ----------
        network : object
            View of the trained network.
        X : ndarray of shape (n_samples, ...), float32 or uint8
            Training samples, none out-of-distribution.
        y : ndarray of shape (n_samples,), int
            Their classes, from 0.

        Returns
        -------
        OODScore
            The fitted score.
        """
        return self

    def check(self, network, X):
        """Raise ValueError if the network lacks what the score needs; before training.

        Parameters
        ----------
        network : object
            View of the network.
        X : ndarray of shape (n_samples, ...), float32 or uint8
            A few samples.
        """

    @abstractmethod
    def ood_score(self, network, X):
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
    """A score of the logits alone.

    It also works on classifiers that are not networks, whose log-probabilities serve as
    logits. To write one, define :meth:`of_logits`.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.scores import LogitScore
    >>> class SecondLargest(LogitScore):
    ...     def of_logits(self, logits, *, rejects=False):
    ...         logits = logits[:, :-1] if rejects else logits
    ...         second, largest = np.sort(logits, axis=1)[:, -2:].T
    ...         return second - largest
    >>> SecondLargest().of_logits(np.array([[0.0, 3.0, 1.0]])).tolist()
    [-2.0]
    """

    @abstractmethod
    def of_logits(self, logits, *, rejects=False):
        """Return the score of each row of logits.

        Parameters
        ----------
        logits : array-like of shape (n_samples, n_classes)
            Logits; one column more with `rejects`.
        rejects : bool, default=False
            Whether the last logit stands for "none of the classes".

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Higher for out-of-distribution.
        """

    def ood_score(self, network, X):
        """Return the score of each sample's logits."""
        logits = network(X)
        return self.of_logits(logits, rejects=rejects(network, logits))


class NamedScore(LogitScore):
    """One of the scores of logits that have no parameters.

    Parameters
    ----------
    name : str
        A name in :data:`~confident_clf.scores.LOGIT_SCORES`.
    """

    def __init__(self, name):
        self.name = name

    def of_logits(self, logits, *, rejects=False):
        """Return the score of each row of logits."""
        return score_logits(logits, self.name, rejects=rejects)


def rejects(network, outputs):
    """Return whether the last output stands for "none of the classes".

    Parameters
    ----------
    network : object
        View of the network.
    outputs : ndarray of shape (n_samples, n_outputs)
        What it says.

    Returns
    -------
    bool
        True if there is one output more than classes.
    """
    return outputs.shape[1] > network.n_classes
