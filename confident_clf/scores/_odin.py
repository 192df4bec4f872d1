# SPDX-License-Identifier: BSD-3-Clause
"""Scores of samples that a network was made surer of."""

from numbers import Real

import numpy as np
from scipy.special import softmax

from confident_clf.scores._logits import score_logits
from confident_clf.scores._score import OODScore, rejects
from confident_clf.utils._sklearn import Interval


def odin(network, X, temperature=1000.0, epsilon=0.0014):
    """Score by the softmax at a temperature, after a small step to be surer.

    Due to [1]_.

    With S the softmax of the outputs divided by `temperature`, and k the most probable
    class, the sample x becomes ``x - epsilon * sign(-grad log S_k(x))``, and the score
    is 1 minus the largest S there.

    Parameters
    ----------
    network : callable
        ``network(X)`` returns the outputs, (n_samples, n_outputs) float64, and
        ``network.gradient(X, weights)`` the gradient of the sum of each sample's
        outputs times ``weights(outputs)``, with the shape of X. An output beyond the
        first ``network.n_classes`` stands for "none of the classes".
    X : ndarray of shape (n_samples, ...), float
        Samples.
    temperature : float, default=1000.0
        What to divide the outputs by, above 0.
    epsilon : float, default=0.0014
        Length of the step in every component of X, in units of X.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and 1, higher for out-of-distribution.

    References
    ----------
    .. [1] Liang, Li and Srikant, "Enhancing The Reliability of Out-of-distribution
       Image Detection in Neural Networks", ICLR 2018, eq. (1) and (2).

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.scores import odin
    >>> class Linear:
    ...     n_classes = 2
    ...     def __call__(self, X):
    ...         return X @ np.eye(2)
    ...     def gradient(self, X, weights):
    ...         return weights(self(X)) @ np.eye(2)
    >>> X = np.array([[0.0, 0.0], [9.0, 0.0]])
    >>> odin(Linear(), X, temperature=1.0, epsilon=0.5).round(3).tolist()
    [0.269, 0.0]
    """
    if epsilon:
        gradient = network.gradient(
            X, lambda outputs: _towards_top(outputs / temperature, network.n_classes)
        )
        X = X + (epsilon * np.sign(gradient)).astype(X.dtype)
    outputs = network(X)
    return score_logits(outputs / temperature, "msp", rejects=rejects(network, outputs))


def _towards_top(outputs, n_classes):
    """Return the weights of the outputs in the gradient of log S_k, up to a factor.

    They are 1 - S_k for the top class k and -S_j for the others. Only the sign of the
    gradient counts, so they are divided by 1 - S_k, which rounds to 0 for sure samples.
    """
    rows, top = np.arange(len(outputs)), outputs[:, :n_classes].argmax(axis=1)
    others = outputs.copy()
    others[rows, top] = -np.inf
    weights = -softmax(others, axis=1)
    weights[rows, top] = 1.0
    return weights


class ODIN(OODScore):
    """Softmax at a temperature, after a small step to be surer: see :func:`odin`.

    Due to [1]_.

    Takes three to four times as long as the logits alone, as it needs the gradient.

    Parameters
    ----------
    temperature : float, default=1000
        What to divide the logits by, above 0.
    epsilon : float, default=0.0014
        Length of the step in every component of a sample, 0 or more, in the units that
        the network sees: those of X, or [0, 1] where X is uint8. What comes out of the
        data's range is not clipped.

    References
    ----------
    .. [1] Liang, Li and Srikant, "Enhancing The Reliability of Out-of-distribution
       Image Detection in Neural Networks", ICLR 2018.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import ODIN
    >>> clf = ConfidentClassifier(method=ODIN(temperature=100, epsilon=0.01))
    """

    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "epsilon": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, *, temperature=1000, epsilon=0.0014):
        self.temperature = temperature
        self.epsilon = epsilon

    def ood_score(self, network, X):
        """Return the score of each sample, batch by batch to hold few floats."""
        return np.concatenate(
            [
                odin(network, batch, self.temperature, self.epsilon)
                for batch in network.batches(X)
            ]
        )
