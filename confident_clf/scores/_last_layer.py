# SPDX-License-Identifier: BSD-3-Clause
"""Scores of features together with the last linear layer: its logits."""

from numbers import Integral, Real

import numpy as np
from scipy.linalg import eigh
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from confident_clf.scores._blocks import times
from confident_clf.scores._logits import relative_to_reject, score_logits
from confident_clf.scores._score import OODScore
from confident_clf.utils._sklearn import Interval


class HeadScore(OODScore):
    """A score of features and of the logits that the last linear layer makes of them.

    Keeps that layer's `weight_`, `bias_` and whether it has a logit that `rejects_`.
    """

    needs_fit = True

    def check(self, network, X):
        """Raise ValueError if the logits do not come straight from a linear layer."""
        network.head(X)

    def fit(self, network, X, y):
        """Learn from the features of the training samples."""
        self.weight_, self.bias_ = network.head(X[:1])
        self.rejects_ = len(self.bias_) > network.n_classes
        self._learn(network.features(X))
        return self

    def ood_score(self, network, X):
        """Return the score of each sample's features."""
        check_is_fitted(self)
        return self._of_features(network.features(X))


def react(features, weight, bias, threshold, *, rejects=False):
    """Score by the energy of the logits of features clipped from above.

    Due to [1]_.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    weight : array-like of shape (n_classes, n_features)
        Weight of the last linear layer; one row more with `rejects`.
    bias : array-like of shape (n_classes,)
        Its bias; one value more with `rejects`.
    threshold : float
        Where to clip.
    rejects : bool, default=False
        Whether the last logit stands for "none of the classes".

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


def _logits(features, weight, bias):
    """Return what the last linear layer makes of features."""
    return times(features, np.asarray(weight, dtype=np.float64).T) + np.asarray(bias)


class ReAct(HeadScore):
    """Energy after clipping the features that are unusually large.

    Due to [1]_.

    See :func:`react`.

    Parameters
    ----------
    quantile : float, default=0.9
        Clip at this quantile of all features of all training samples, above 0; 1 clips
        at the largest.

    Attributes
    ----------
    weight_ : ndarray of shape (n_logits, n_features)
        Weight of the network's last linear layer.
    bias_ : ndarray of shape (n_logits,)
        Its bias.
    rejects_ : bool
        Whether the last logit stands for "none of the classes".
    threshold_ : float
        The quantile.

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

    def __init__(self, *, quantile=0.9):
        self.quantile = quantile

    def _learn(self, features):
        self.threshold_ = float(np.quantile(features, self.quantile))

    def _of_features(self, features):
        return react(
            features,
            self.weight_,
            self.bias_,
            self.threshold_,
            rejects=self.rejects_,
        )


def vim(features, weight, bias, origin, null_space, alpha, *, rejects=False):
    """Score by a virtual logit: the residual outside the principal space.

    Due to [1]_.

    The virtual logit of "none of the classes" is alpha times the length of what is left
    of the feature outside the principal space. [1]_ scores by its softmax probability,
    which rounds to 1; this is its log-odds, in the same order.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    weight : array-like of shape (n_classes, n_features)
        Weight of the last linear layer; one row more with `rejects`.
    bias : array-like of shape (n_classes,)
        Its bias; one value more with `rejects`.
    origin : array-like of shape (n_features,)
        Where the logits are 0, or closest to it.
    null_space : array-like of shape (n_features, n_residual)
        Orthonormal columns that span what is not in the principal space.
    alpha : float
        Makes the virtual logit as large as the largest logit on training samples.
    rejects : bool, default=False
        Whether the last logit stands for "none of the classes". It then does so beside
        the virtual one.

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


def _residual(centered, null_space):
    """Return the length of what is in the null space."""
    return np.linalg.norm(times(centered, null_space), axis=1)


# Share of the largest variance that rounding of float32 features makes of none.
_NO_VARIANCE = 1e-12


class ViM(HeadScore):
    """Virtual logit: how far a feature is from the principal space.

    Due to [1]_.

    See :func:`vim`. Not for networks that were trained on out-of-distribution samples:
    their features of unknown samples move to the origin, where there is no residual.

    Parameters
    ----------
    n_components : int or None, default=None
        Dimension of the principal space, less than the number of features. None: half
        of the dimensions that the training features have: units that never fire have
        none. That is about what the authors take.

    Attributes
    ----------
    weight_ : ndarray of shape (n_logits, n_features)
        Weight of the network's last linear layer.
    bias_ : ndarray of shape (n_logits,)
        Its bias.
    rejects_ : bool
        Whether the last logit stands for "none of the classes".
    origin_ : ndarray of shape (n_features,)
        The feature nearest to 0 whose logits are closest to 0.
    null_space_ : ndarray of shape (n_features, n_features - n_components)
        Orthonormal directions in which training features vary least around `origin_`.
    alpha_ : float
        Mean of the largest logits of training samples, divided by that of their
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

    def __init__(self, *, n_components=None):
        self.n_components = n_components

    def check(self, network, X):
        """Raise ValueError if there are no directions outside the principal space."""
        weight, _ = network.head(X)
        n_features = weight.shape[1]
        if self.n_components is not None and self.n_components >= n_features:
            raise ValueError(
                f"n_components={self.n_components} of ViM must be less than the number "
                f"of features that go into the network's last linear layer, "
                f"{n_features}."
            )

    def _learn(self, features):
        self.origin_ = -np.linalg.pinv(self.weight_) @ self.bias_
        centered = features - self.origin_
        variances, directions = eigh(centered.T @ centered)  # least variance first
        rank = np.sum(variances > _NO_VARIANCE * variances[-1])
        n_residual = features.shape[1] - (self.n_components or rank // 2)
        self.null_space_ = directions[:, :n_residual]
        self.alpha_ = self._matched(features)

    def _matched(self, features):
        """Return the factor that makes the virtual logit as large as the others."""
        logits = _logits(features, self.weight_, self.bias_)
        if self.rejects_:
            logits = relative_to_reject(logits)
        centered = features - self.origin_
        residual = _residual(centered, self.null_space_).mean()
        # Where the null space is of dead units only, rounding is all that is left.
        least = np.sqrt(_NO_VARIANCE) * np.linalg.norm(centered, axis=1).mean()
        # Logits that are all negative must not turn the score around.
        size = abs(logits.max(axis=1).mean())
        return float(size / max(residual, least)) if least > 0 else 0.0

    def _of_features(self, features):
        return vim(
            features,
            self.weight_,
            self.bias_,
            self.origin_,
            self.null_space_,
            self.alpha_,
            rejects=self.rejects_,
        )
