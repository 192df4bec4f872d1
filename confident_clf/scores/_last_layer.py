# SPDX-License-Identifier: BSD-3-Clause
"""Scores of features and of the logits that the last linear layer computes."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.special import logsumexp

from confident_clf.scores._blocks import times
from confident_clf.scores._features import FeatureScore
from confident_clf.scores._logits import relative_to_reject, score_logits
from confident_clf.utils._sklearn import Interval


class HeadScore(FeatureScore):
    """A score of features and of the logits that the last linear layer computes.

    Stores the layer's `weight_` and `bias_`, and whether it `rejects_`: whether it has
    a reject logit.
    """

    def check(self, network: Any, X: np.ndarray) -> None:
        """Raise ValueError if the logits are not the output of a linear layer."""
        network.head(X)

    def fit_rows(
        self, network: Any, X: np.ndarray, y: np.ndarray, rows: np.ndarray | slice
    ) -> Self:
        """Store the last layer, and learn from the features of training samples."""
        self.weight_, self.bias_ = network.head(X[:1])
        self.rejects_ = len(self.bias_) > network.n_classes
        return super().fit_rows(network, X, y, rows)


def react(
    features: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    threshold: float,
    *,
    rejects: bool = False,
) -> np.ndarray:
    """Score by the energy of logits that are computed from clipped features.

    Introduced in [1]_. With the weight rows w_k and biases b_k of the last linear layer
    and the threshold c, the score of features f is::

        -log sum_k exp(w_k^T min(f, c) + b_k).

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    weight : array-like of shape (n_classes, n_features)
        Weight of the last linear layer. With `rejects`, there is one more row.
    bias : array-like of shape (n_classes,)
        Its bias. With `rejects`, there is one more value.
    threshold : float
        Features above this value are clipped to it.
    rejects : bool, default=False
        Whether the last logit is a reject logit, for "none of the classes".

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Any real number, higher for out-of-distribution.

    References
    ----------
    .. [1] Sun, Guo and Li, "ReAct: Out-of-distribution Detection With Rectified
       Activations", NeurIPS 2021, eq. (1) to (3).

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.scores import react
    >>> react([[0.0, 9.0]], np.eye(2), [0.0, 0.0], threshold=1.0).round(3).tolist()
    [-1.313]
    """
    clipped = np.minimum(np.asarray(features, dtype=np.float64), threshold)
    return score_logits(_logits(clipped, weight, bias), "energy", rejects=rejects)


def _logits(features: np.ndarray, weight: ArrayLike, bias: ArrayLike) -> np.ndarray:
    """Return the logits that the last linear layer computes from features."""
    return times(features, np.asarray(weight, dtype=np.float64).T) + np.asarray(bias)


class ReAct(HeadScore):
    """Energy after clipping the features that are unusually large.

    Introduced in [1]_. With the weight rows w_k and biases b_k of the last linear layer
    and a quantile c of the training features, the score of features f is::

        -log sum_k exp(w_k^T min(f, c) + b_k).

    See :func:`react`.

    Parameters
    ----------
    quantile : float, default=0.9
        Clip at this quantile of all features of all training samples, above 0. 1 clips
        at the largest value.

    Attributes
    ----------
    weight_ : ndarray of shape (n_logits, n_features)
        Weight of the network's last linear layer.
    bias_ : ndarray of shape (n_logits,)
        Its bias.
    rejects_ : bool
        Whether the last logit is a reject logit, for "none of the classes".
    threshold_ : float
        The value of the quantile.

    References
    ----------
    .. [1] Sun, Guo and Li, "ReAct: Out-of-distribution Detection With Rectified
       Activations", NeurIPS 2021.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import ReAct
    >>> clf = ConfidentClassifier(method=ReAct(quantile=0.95))
    """

    _parameter_constraints: dict = {
        "quantile": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(self, *, quantile: float = 0.9):
        self.quantile = quantile

    def _learn(self, features: np.ndarray, y: np.ndarray) -> None:
        self.threshold_ = float(np.quantile(features, self.quantile))

    def of_features(self, features: np.ndarray) -> np.ndarray:
        return react(
            features,
            self.weight_,
            self.bias_,
            self.threshold_,
            rejects=self.rejects_,
        )


def vim(
    features: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    origin: ArrayLike,
    null_space: ArrayLike,
    alpha: float,
    *,
    rejects: bool = False,
) -> np.ndarray:
    """Score by a virtual logit: the residual outside the principal space.

    Introduced in [1]_. With the origin o and the columns N of the null space, the score
    of features f is::

        alpha * norm(N^T (f - o)) - log sum_k exp(logit_k).

    The first term is the virtual logit of "none of the classes". The paper scores by
    its softmax probability, which rounds to 1. This is its log-odds, which ranks the
    samples in the same way.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    weight : array-like of shape (n_classes, n_features)
        Weight of the last linear layer. With `rejects`, there is one more row.
    bias : array-like of shape (n_classes,)
        Its bias. With `rejects`, there is one more value.
    origin : array-like of shape (n_features,)
        The features whose logits are 0, or closest to 0.
    null_space : array-like of shape (n_features, n_residual)
        Orthonormal columns that span the complement of the principal space.
    alpha : float
        Scales the virtual logit to the size of the largest logit of training samples.
    rejects : bool, default=False
        Whether the last logit is a reject logit, for "none of the classes". It then
        counts in addition to the virtual logit.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Any real number, higher for out-of-distribution.

    References
    ----------
    .. [1] Wang, Li, Feng and Zhang, "ViM: Out-Of-Distribution with Virtual-logit
       Matching", CVPR 2022, eq. (5) to (7).

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.scores import vim
    >>> weight, null_space = np.eye(2, 3), np.eye(3)[:, 2:]
    >>> X = [[5.0, 0.0, 0.0], [5.0, 0.0, 5.0]]
    >>> vim(X, weight, np.zeros(2), np.zeros(3), null_space, 1.0).round(3).tolist()
    [-5.007, -0.007]
    """
    features = np.asarray(features, dtype=np.float64)
    logits = _logits(features, weight, bias)
    virtual = alpha * _residual(features - origin, np.asarray(null_space))
    if rejects:
        logits, virtual = relative_to_reject(logits), np.logaddexp(virtual, 0.0)
    return virtual - logsumexp(logits, axis=1)


def _residual(centered: np.ndarray, null_space: np.ndarray) -> np.ndarray:
    """Return the length of each row's projection on the null space."""
    return np.linalg.norm(times(centered, null_space), axis=1)


# Relative to the largest variance: rounding of float32 features can cause this much.
_NO_VARIANCE = 1e-12


class ViM(HeadScore):
    """Virtual logit: the distance of a feature from the principal space.

    Introduced in [1]_. With the origin o and the columns N of the null space, the score
    of features f is::

        alpha * norm(N^T (f - o)) - log sum_k exp(logit_k).

    See :func:`vim`. Do not use it for networks that were trained on out-of-distribution
    samples: these move the features of unknown samples to the origin, where the
    residual is 0.

    Parameters
    ----------
    n_components : int or None, default=None
        Dimension of the principal space, less than the number of features. None means
        half of the rank of the training features; units that never fire add nothing to
        the rank. This is about what the authors of [1]_ use.

    Attributes
    ----------
    weight_ : ndarray of shape (n_logits, n_features)
        Weight of the network's last linear layer.
    bias_ : ndarray of shape (n_logits,)
        Its bias.
    rejects_ : bool
        Whether the last logit is a reject logit, for "none of the classes".
    origin_ : ndarray of shape (n_features,)
        The features closest to 0 of all whose logits are closest to 0.
    null_space_ : ndarray of shape (n_features, n_features - n_components)
        Orthonormal directions in which training features vary least around `origin_`.
    alpha_ : float
        Mean of the largest logits of training samples, divided by the mean of their
        residuals.

    References
    ----------
    .. [1] Wang, Li, Feng and Zhang, "ViM: Out-Of-Distribution with Virtual-logit
       Matching", CVPR 2022.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import ViM
    >>> clf = ConfidentClassifier(ood_source=None, method=ViM(n_components=32))
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, *, n_components: int | None = None):
        self.n_components = n_components

    def check(self, network: Any, X: np.ndarray) -> None:
        """Raise ValueError if the principal space would contain all directions."""
        weight, _ = network.head(X)
        n_features = weight.shape[1]
        if self.n_components is not None and self.n_components >= n_features:
            raise ValueError(
                f"n_components={self.n_components} of ViM must be less than the number "
                f"of features that go into the network's last linear layer, "
                f"{n_features}."
            )

    def _learn(self, features: np.ndarray, y: np.ndarray) -> None:
        self.origin_ = -np.linalg.pinv(self.weight_) @ self.bias_
        centered = features - self.origin_
        variances, directions = eigh(centered.T @ centered)  # least variance first
        rank = np.sum(variances > _NO_VARIANCE * variances[-1])
        n_residual = features.shape[1] - (self.n_components or rank // 2)
        self.null_space_ = directions[:, :n_residual]
        self.alpha_ = self._matched(features)

    def _matched(self, features: np.ndarray) -> float:
        """Return the factor that makes the virtual logit as large as the others."""
        logits = _logits(features, self.weight_, self.bias_)
        if self.rejects_:
            logits = relative_to_reject(logits)
        centered = features - self.origin_
        residual = _residual(centered, self.null_space_).mean()
        # If the null space has only dead units, the residual is a rounding error.
        least = np.sqrt(_NO_VARIANCE) * np.linalg.norm(centered, axis=1).mean()
        # Logits that are all negative must not reverse the score.
        size = abs(logits.max(axis=1).mean())
        return float(size / max(residual, least)) if least > 0 else 0.0

    def of_features(self, features: np.ndarray) -> np.ndarray:
        return vim(
            features,
            self.weight_,
            self.bias_,
            self.origin_,
            self.null_space_,
            self.alpha_,
            rejects=self.rejects_,
        )
